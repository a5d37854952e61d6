"""The plainest job, tried: what Flux says of it, and what it does not say."""

from __future__ import annotations

from typing import Any

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.workload.flux.trial import Trial


class Silent:
    """A connection over which no answer comes."""

    where = "local:///silent"

    def submit(self, _: str, *, held: bool) -> int:
        """It is sent."""
        assert held
        return 1

    def answer(self, *_: Any) -> None:
        """In no time."""


def test_no_answer_is_no_refusal() -> None:
    """A Flux that is slow to answer may take jobs all the same."""
    silent: Any = Silent()
    with pytest.raises(WorkloadUnavailable, match=r"local:///silent does not answer a submission"):
        Trial("", lambda: 0.0).problem(silent, anew=True)
