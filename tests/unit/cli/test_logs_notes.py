"""`logs`: an empty answer has its reason, and each replica its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rainbow_agent.cli.logs import _chosen, _say_it_was_silent
from rainbow_agent.cli.task_output import Labelled
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import JobKey, JobRow, TaskKey, TaskRow
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import OutputPiece

KEY = JobKey("r1", 1)


def a_task(name: str = "t", replica: int = 0, **facts: Any) -> TaskRow:
    row = TaskRow(TaskKey(KEY, name, replica), 0, TaskState.RUNNING, (), flux_id=7)
    return replace(row, **facts)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "t is running and has written nothing so far"),
        ({"state": TaskState.SUBMITTED}, "t is submitted and has not started"),
        ({"state": TaskState.PENDING, "flux_id": None}, "t has not been submitted yet"),
        ({"state": TaskState.COMPLETED}, "t completed and wrote nothing"),
        (
            {"state": TaskState.FAILED, "reason": "exec: no such file"},
            "t failed and wrote nothing: exec: no such file",
        ),
        (
            {"state": TaskState.CANCELED, "flux_id": None, "reason": "it depends on s"},
            "t was canceled before it was submitted: it depends on s",
        ),
    ],
)
def test_silence_is_explained_as_it_is(
    facts: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that runs may still write; one that never started did not."""
    _say_it_was_silent(a_task(**facts))
    assert capsys.readouterr().err == f"note: {said}\n"


def test_each_replica_can_be_named_as_jobs_shows_it() -> None:
    """Also the first; a name alone means all of them."""
    tasks = tuple(a_task("p", n) for n in range(3))
    job = JobRow(KEY, "j", JobState.RUNNING, None, 0.0, None, None, tasks)
    assert [len(_chosen(job, text)) for text in (None, "p", "p[0]", "p[2]")] == [3, 3, 1, 1]
    with pytest.raises(RainbowAgentError, match="it has: p"):
        _chosen(job, "p[3]")


def test_lines_of_the_first_of_several_replicas_have_its_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As those of the others; a task that runs once has none."""
    tasks = [a_task("p", 0), a_task("p", 1), a_task("q")]
    show = Labelled(tasks)
    for n, task in enumerate(tasks):
        show(task, OutputPiece(n, "stdout", b"x\n"))
    assert capsys.readouterr().out == "p[0]: x\np[1]: x\nq: x\n"
