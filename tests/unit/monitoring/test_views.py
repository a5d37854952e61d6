"""Rows of the ledger as stable JSON objects, and small words for people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import JobKey, JobRow, StoryLine, TaskKey, TaskRow
from rainbow_agent.core.notation import parse_f58
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring.views import ago, job_view, story_view, table, task_view

KEY = JobKey("r1", 7)


def test_a_task_that_ran() -> None:
    """Names, f58 id, RFC 3339 times in UTC."""
    row = TaskRow(
        TaskKey(KEY, "ior", 2),
        1,
        TaskState.FAILED,
        ("build",),
        flux_id=1234567890,
        exit_code=3,
        reason="exit code 3",
        submitted=1715940000.0,
        started=1715940001.5,
        finished=1715940002.25,
    )
    view: dict[str, Any] = dict(task_view(row))
    assert parse_f58(view.pop("flux_id")) == 1234567890
    assert view == {
        "name": "ior",
        "replica": 2,
        "state": "failed",
        "exit_code": 3,
        "depends_on": ["build"],
        "submitted": "2024-05-17T10:00:00.000Z",
        "started": "2024-05-17T10:00:01.500Z",
        "finished": "2024-05-17T10:00:02.250Z",
        "reason": "exit code 3",
    }


def test_a_task_that_waits_has_nulls() -> None:
    """Every key is always there; what has not happened is null, not 0 and not 1970."""
    view = task_view(TaskRow(TaskKey(KEY, "ior", 0), 0, TaskState.PENDING, ()))
    for name in ("flux_id", "exit_code", "submitted", "started", "finished", "reason"):
        assert view[name] is None


def test_a_time_at_the_epoch_is_a_time() -> None:
    """Zero is not `never`."""
    row = TaskRow(TaskKey(KEY, "ior", 0), 0, TaskState.COMPLETED, (), flux_id=0, started=0.0)
    view = task_view(row)
    assert view["started"] == "1970-01-01T00:00:00.000Z"
    assert view["flux_id"] is not None


def test_a_job_has_the_documented_keys() -> None:
    """The interface of issue 2: id, registration, name, state, reason, received, tasks."""
    task = TaskRow(TaskKey(KEY, "ior", 0), 0, TaskState.PENDING, ())
    job = JobRow(KEY, "bench", JobState.RECEIVED, None, 1715940000.0, None, None, (task,))
    view = job_view(job)
    assert view == {
        "id": 7,
        "registration": "r1",
        "name": "bench",
        "state": "received",
        "reason": None,
        "received": "2024-05-17T10:00:00.000Z",
        "accepted": None,
        "finished": None,
        "tasks": [task_view(task)],
    }
    json.dumps(view)


def test_a_story_line() -> None:
    """About a replica, or about the job itself."""
    line = StoryLine(1715940000.0, "ior", 1, "submitted", "running", "started")
    assert story_view(line) == {
        "time": "2024-05-17T10:00:00.000Z",
        "task": "ior",
        "replica": 1,
        "was": "submitted",
        "now": "running",
        "cause": "started",
    }
    about_the_job = StoryLine(1.0, None, None, None, "received", "x")
    assert story_view(about_the_job)["task"] is None


def test_a_table_is_aligned() -> None:
    """Columns as wide as their widest cell, no trailing space."""
    text = table(["ID", "STATE"], [["1", "running"], ["1000", "ok"]])
    assert text == "ID    STATE\n1     running\n1000  ok"


def test_a_table_without_rows_is_its_header() -> None:
    """Nothing to show is no error."""
    assert table(["ID", "STATE"], []) == "ID  STATE"


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_a_table_cannot_be_broken_by_what_stands_in_it(cells: list[tuple[str, str]]) -> None:
    """A name with a line end or an escape sequence stays in its cell."""
    lines = table(["A", "B"], [list(pair) for pair in cells]).split("\n")
    assert len(lines) == len(cells) + 1
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (3.4, "3 s"),
        (89.0, "89 s"),
        (90.0, "2 min"),
        (300.0, "5 min"),
        (7200.0, "2 h"),
        (345600.0, "4 d"),
    ],
)
def test_ago_is_short(seconds: float, text: str) -> None:
    """The unit in which a person would say it."""
    assert ago(seconds) == text
