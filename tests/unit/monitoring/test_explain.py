"""`explain`: a job's story in one time line, the cause and the cure first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import (
    Cancellation,
    JobKey,
    JobRow,
    ReportLine,
    StoryLine,
    TaskEvent,
    TaskKey,
    TaskRow,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring.explain import (
    History,
    advise,
    explain_text,
    explain_view,
    history_of,
    waits,
)
from support.ledger import add_job, checked_ledger, news

KEY = JobKey("r1", 7)
T0 = 1715940000.0  # 2024-05-17T10:00:00Z


def task(
    name: str, state: TaskState, *, position: int = 0, replica: int = 0, **facts: object
) -> TaskRow:
    row = TaskRow(TaskKey(KEY, name, replica), position, state, ())
    return replace(row, **facts)  # type: ignore[arg-type] # facts are TaskRow's


def job(state: JobState, *tasks: TaskRow, reason: str | None = None) -> JobRow:
    over = state.value in ("completed", "failed", "canceled", "refused", "lost")
    return JobRow(KEY, "ior", state, reason, T0, None, T0 + 60 if over else None, tasks)


FAILED = job(
    JobState.FAILED,
    task("build", TaskState.COMPLETED, submitted=T0 + 1, started=T0 + 4, finished=T0 + 20),
    task(
        "run",
        TaskState.FAILED,
        position=1,
        depends_on=("build",),
        flux_id=1,
        exit_code=127,
        reason="exit code 127",
        submitted=T0 + 1,
        started=T0 + 50,
        finished=T0 + 60,
    ),
    reason="exit code 127",
)


class TestTheCauseFirst:
    """A job that did not end well: what, why, and what to do."""

    def test_cause_and_cure_lead(self) -> None:
        """The first lines name the task, its end and the cure; the time line follows."""
        lines = explain_text(explain_view(History(FAILED, ()), T0 + 100)).splitlines()
        assert lines[0] == "job 7 (ior) is failed, 60 s after it was received"
        assert lines[1] == "cause: task run: exit code 127"
        assert lines[2].startswith("to do: the command was not found")

    def test_a_refusal_says_its_reason(self) -> None:
        """No task is to blame; the reason of the job is the cause."""
        refused = job(
            JobState.REFUSED, reason="line 3: task `a` depends on `b`, which is not there"
        )
        view = explain_view(History(refused, ()), T0)
        assert view["cause"] == refused.reason
        assert view["task"] is None
        assert view["advice"]

    def test_a_job_that_is_well_has_no_cause(self) -> None:
        """Neither cause nor advice."""
        view = explain_view(History(job(JobState.RUNNING), ()), T0 + 9)
        assert (view["cause"], view["advice"]) == (None, None)
        assert view["summary"] == "job 7 (ior) is running, received 9 s ago"

    @pytest.mark.parametrize(
        ("reason", "code", "words"),
        [
            ("exit code 137", 137, "memory"),
            ("signal 9", 137, "memory"),
            ("exit code 3", 3, "rainbow-agent logs 7"),
            ("timeout: resource allocation expired", None, "duration"),
            ("alloc: unsatisfiable request", None, "another cluster"),
            ("cancel: stop", None, "on purpose"),
            ("the workload manager no longer knows this task: its", None, "submit the job again"),
        ],
    )
    def test_advice_fits_the_reason(self, reason: str, code: int | None, words: str) -> None:
        """The particular before the general."""
        row = job(JobState.FAILED, task("a", TaskState.FAILED, reason=reason, exit_code=code))
        assert words in str(advise(row))

    @given(st.text(), st.sampled_from(JobState))
    def test_any_reason_can_be_advised_on(self, reason: str, state: JobState) -> None:
        """Whatever a reason holds, braces too, it is no error."""
        advise(job(state, task("a", TaskState.FAILED, reason=reason), reason=reason))


class TestWaits:
    """What it waited for."""

    def test_for_what_comes_first_then_for_resources(self) -> None:
        """Times of the ledger alone tell both."""
        found = [(w.task, w.what, w.seconds) for w in waits(FAILED, {}, T0 + 100)]
        assert found == [
            ("", "for the agent to submit it", 1.0),
            ("build", "for free resources", 3.0),
            ("run", "for build to end well", 19.0),
            ("run", "for free resources", 30.0),
        ]

    def test_events_are_more_exact(self) -> None:
        """The moment when resources were given counts, not the start."""
        events = {FAILED.tasks[1].key: [TaskEvent(T0 + 22, "depend"), TaskEvent(T0 + 30, "alloc")]}
        found = {(w.task, w.what): w.seconds for w in waits(FAILED, events, T0 + 100)}
        assert found["run", "for build to end well"] == 21.0
        assert found["run", "for free resources"] == 8.0

    def test_a_wait_that_goes_on(self) -> None:
        """It has no end, and is measured up to now."""
        row = job(JobState.SUBMITTED, task("a", TaskState.SUBMITTED, submitted=T0))
        (wait,) = waits(row, {}, T0 + 42)
        assert (wait.end, wait.seconds) == (None, 42.0)
        text = explain_text(explain_view(History(row, ()), T0 + 42))
        assert "waited: a, 42 s so far for free resources" in text

    def test_the_longest_of_replicas_speaks_for_all(self) -> None:
        """A thousand replicas are one line."""
        rows = [
            task("a", TaskState.RUNNING, replica=n, submitted=T0, started=T0 + n)
            for n in range(1000)
        ]
        found = waits(job(JobState.RUNNING, *rows), {}, T0 + 5000)
        assert [(w.task, w.seconds) for w in found] == [("a", 999.0)]

    def test_a_task_that_never_ran_waited_until_its_end(self) -> None:
        """Its first task failed: it waited for that one until it was canceled."""
        first = task("a", TaskState.FAILED, submitted=T0, started=T0, finished=T0 + 5)
        second = task(
            "b", TaskState.CANCELED, submitted=T0, finished=T0 + 5, depends_on=("a",), position=1
        )
        found = waits(job(JobState.FAILED, first, second), {}, T0 + 50)
        assert [(w.task, w.what, w.seconds) for w in found] == [("b", "for a to end well", 5.0)]


class TestTimeline:
    """Everything that happened, by time."""

    HISTORY = History(
        FAILED,
        [
            StoryLine(T0, None, None, None, "received", "rainbow handed it over as 'ior'"),
            StoryLine(T0 + 1, "run", 0, "submitting", "submitted", "submitted"),
        ],
        [
            ReportLine(T0 + 2, T0 + 9, 3, None, "connection refused"),
            ReportLine(T0 + 10, T0 + 10, 1, "running", None),
        ],
        Cancellation(KEY, T0 + 55, "alice@blue-0", "wrong input"),
        {
            FAILED.tasks[1].key: [
                TaskEvent(T0 + 1.5, "submit", {"userid": 0, "jobspec": {"big": 1}}),
                TaskEvent(T0 + 60, "finish", {"status": 32512}),
            ]
        },
    )

    def test_all_sources_meet_by_time(self) -> None:
        """Ledger, workload manager, reports and people in one list."""
        entries = explain_view(self.HISTORY, T0 + 100)["timeline"]
        assert [(e["source"], e["event"]) for e in entries] == [
            ("agent", "received"),
            ("agent", "submitted"),
            ("flux", "submit"),
            ("report", "not told"),
            ("report", "told"),
            ("person", "cancel"),
            ("flux", "finish"),
        ]
        json.dumps(entries)

    def test_text_has_the_date_once_and_what_each_said(self) -> None:
        """Flux ids, exit codes, how often a report failed, who asked for the end."""
        text = explain_text(explain_view(self.HISTORY, T0 + 100))
        for words in (
            "\n2024-05-17\n10:00:00.000  agent   received rainbow handed it over as 'ior'",
            "run submitted submitted (f2)",
            "run finish status=32512 (exit code 127)",
            "a report did not reach rainbow (3 times until 2024-05-17T10:00:09.000Z):",
            "alice@blue-0 asked for its end: wrong input",
        ):
            assert words in text
        assert "big" not in text

    def test_what_users_wrote_cannot_steer_the_terminal(self) -> None:
        """Names, reasons and notes are shown escaped."""
        row = replace(FAILED, name="\x1b[2J", reason="\x1b[31mred")
        text = explain_text(explain_view(replace(self.HISTORY, job=row), T0))
        assert "\x1b" not in text


def test_the_ledger_has_the_history(tmp_path: Path) -> None:
    """Story, reports and the wish come from the ledger; of an unknown job there is none."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        key = add_job(ledger, 7, "a")
        ledger.record_report({key: JobState.RECEIVED}, 1001.5)
        ledger.ask_cancel(Cancellation(key, 1001.6, "alice", ""))
        ledger.apply([news(key, "a", TaskState.CANCELED, reason="cancel: stop")])
        history = history_of(ledger, key)
        assert history is not None
        events = [entry["event"] for entry in explain_view(history, 1003.0)["timeline"]]
        assert events == ["received", "pending", "told", "cancel", "canceled", "canceled"]
        assert history_of(ledger, JobKey("r1", 8)) is None
