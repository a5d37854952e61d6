"""A job as it is told to its sender: the same on both sides, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rainbow_agent.core import packed_jobs
from rainbow_agent.core.model import TaskKind
from rainbow_agent.core.packed_jobs import left_out, pack_job, unpack_job
from rainbow_agent.core.states import JobState
from support.senders import make_job


def test_a_job_is_the_same_on_the_other_side() -> None:
    """With all that its tasks have, also after a way through JSON."""
    job = make_job(JobState.FAILED, code=3)
    task = replace(
        job.tasks[0], depends_on=("a", "b"), kind=TaskKind.GROUP, group="g", flux_id=None
    )
    job = replace(job, accepted=None, tasks=(task, *job.tasks))
    assert unpack_job(json.loads(json.dumps(pack_job(job)))) == job
    assert left_out(pack_job(job)) == 0


def test_of_very_many_tasks_the_first_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how many there are."""
    monkeypatch.setattr(packed_jobs, "MAX_TASKS", 2)
    job = replace(make_job(), tasks=make_job().tasks * 5)
    packed = pack_job(job)
    assert unpack_job(packed).tasks == job.tasks[:2]
    assert left_out(packed) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"key": ["reg"]},
        {"key": ["reg", True]},
        {"name": None},
        {"state": "asleep"},
        {"times": [None, None, None]},
        {"times": [1, 2, "3"]},
        {"tasks": [[]]},
        {"tasks": 5},
        {"reason": 1},
    ],
)
def test_what_is_no_job_is_an_error(change: dict[str, Any]) -> None:
    """Whatever an agent of another version may send."""
    with pytest.raises(ValueError, match=r"not a|no time|unpack"):
        unpack_job({**pack_job(make_job()), **change})
