"""Sending a job: what is asked again when rainbow does not answer, and what is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
import stamina

from rainbow_agent.core.errors import DatabaseLocked, Unavailable
from rainbow_agent.core.model import SatisfyAnswer
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.choosing import Selection, preference
from rainbow_agent.fleet.submission import job_of, send

DOCUMENT: Mapping[str, Any] = {
    "version": 1,
    "resources": {"r": {"type": "node", "count": 1}},
    "tasks": [{"command": ["true"], "resources": "r"}],
}


class Rainbow:
    """One cluster; the first calls of a method fail with these errors."""

    def __init__(self, satisfy: list[Exception], submit: list[Exception]) -> None:
        self._failing = {"satisfy": satisfy, "submit": submit}
        self.stored = self.asked = 0

    def satisfy(self, jobspec: Mapping[str, Any]) -> SatisfyAnswer:
        """Asked: does the cluster fit."""
        self.asked += 1
        self._fail("satisfy")
        return SatisfyAnswer(("blue",), 1, 1, 0)

    def submit(self, *_: Any, satisfy_only: bool = False, **__: Any) -> list[str]:
        """Store the job; then answer, or fail."""
        if not satisfy_only:
            self.stored += 1  # whatever is answered
            self._fail("submit")
        return ["blue"]

    def _fail(self, method: str) -> None:
        if self._failing[method]:
            raise self._failing[method].pop(0)


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Between attempts."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


def sent(rainbow: Rainbow, once: str | None = None, **how: Any) -> str:
    job = job_of(DOCUMENT, once)
    selection = Selection(once=job.plan.once, **how)
    cluster, _ = send(
        cast("Scheduler", rainbow), job, selection, tokens={"blue": "t"}, fallback_token=""
    )
    return cluster


def test_questions_are_asked_again() -> None:
    """They change nothing."""
    rainbow = Rainbow([Unavailable("gone"), Unavailable("gone")], [])
    assert sent(rainbow) == "blue"
    assert (rainbow.asked, rainbow.stored) == (3, 1)


def test_a_job_whose_fate_is_unknown_is_not_sent_again() -> None:
    """The answer was lost, and the job may be stored: that is said, with what to do."""
    rainbow = Rainbow([], [Unavailable("rainbow at x does not answer")])
    with pytest.raises(Unavailable, match=r"It is not known whether rainbow has the job.*--once"):
        sent(rainbow)
    assert rainbow.stored == 1


def test_a_job_with_a_key_is_sent_again() -> None:
    """It runs once, however often it comes."""
    rainbow = Rainbow([], [Unavailable("gone"), Unavailable("gone")])
    assert sent(rainbow, "nightly") == "blue"
    assert rainbow.stored == 3


def test_a_job_that_was_surely_not_stored_is_sent_again() -> None:
    """A locked database was answered with; nothing happened."""
    rainbow = Rainbow([], [DatabaseLocked("locked")])
    assert sent(rainbow, prefer=preference("cores_free")) == "blue"
    assert rainbow.stored == 2
