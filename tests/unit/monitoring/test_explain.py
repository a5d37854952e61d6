"""`explain`: a job's story in one time line, the cause and the cure first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.model import Cancellation, JobKey, ReportLine, StoryLine
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import TaskEvent
from rainbow_agent.monitoring.explain import (
    History,
    explain_text,
    explain_view,
    history_of,
)
from support.job_rows import FAILED, KEY, T0, job, task
from support.ledger import add_job, checked_ledger, news


class TestTheCauseFirst:
    """A job that did not end well: what, why, and what to do."""

    def test_cause_and_cure_lead(self) -> None:
        """The first lines name the task, its end and the cure; the time line follows."""
        lines = explain_text(explain_view(History(FAILED, ()), T0 + 100)).splitlines()
        assert lines[0] == "job 7 (ior) failed 60 s after it was received"
        assert lines[1] == "cause: task run: exit code 127"
        assert lines[2].startswith("to do: the command was not found")

    @pytest.mark.parametrize(
        "said",
        [
            "dependency: afterok: job 3 failed or was canceled",  # of the local workload manager
            "dependency: dependency after-success=f4 can never be satisfied",  # of Flux
        ],
    )
    def test_what_waited_in_vain_names_the_task_and_not_its_id(self, said: str) -> None:
        """The job's cause is the task that failed; what depends on it says its name."""
        a = task("a", TaskState.FAILED, flux_id=3, reason="exit code 3", finished=T0 + 9)
        b = task("b", TaskState.CANCELED, position=1, reason=said, finished=T0 + 8)
        row = job(JobState.FAILED, a, b, reason="exit code 3")
        view = explain_view(
            History(row, [StoryLine(T0 + 8, "b", 0, "submitting", "canceled", said)]), T0
        )
        assert (view["task"], view["cause"]) == ("a", "exit code 3")
        assert view["job"]["tasks"][1]["reason"] == "it depends on a, which failed"
        assert view["timeline"][0]["text"] == "it depends on a, which failed"

    def test_a_refusal_for_what_no_node_has_is_not_the_jobspecs_fault(self) -> None:
        """There is nothing to correct in it."""
        said = "tasks[0].requires[0] (line 5, column 7): no node here has 'ior' in subsystem 'io'"
        advice = explain_view(History(job(JobState.REFUSED, reason=said), ()), T0)["advice"]
        assert "correct the jobspec" not in advice
        assert "send it to a cluster that has it" in advice

    def test_a_refusal_says_its_reason(self) -> None:
        """No task is to blame; the reason of the job is the cause."""
        refused = job(
            JobState.REFUSED, reason="line 3: task `a` depends on `b`, which is not there"
        )
        view = explain_view(History(refused, ()), T0)
        assert view["cause"] == refused.reason
        assert view["task"] is None
        assert view["advice"]

    def test_what_the_job_shell_went_on_after_is_said(self) -> None:
        """A folder that is not there: the job completed, in /tmp."""
        said = "host a: Could not change dir to /gone: No such file or directory. Going to /tmp"
        task = FAILED.tasks[0].key
        complaint = TaskEvent(T0 + 6, "shell", {"message": said})
        history = History(FAILED, (), complaints={task: [complaint, complaint]})
        view = explain_view(history, T0 + 100)
        (note,) = view["notes"]
        assert note["text"] == said
        assert "check `cwd`" in note["advice"]
        lines = explain_text(view).splitlines()
        assert any(line.startswith(f"note: task {task.task}: {said} (") for line in lines)
        assert any(line.endswith(f"shell {said}") for line in lines)

    def test_a_job_that_is_well_has_no_cause(self) -> None:
        """Neither cause nor advice."""
        view = explain_view(History(job(JobState.RUNNING), ()), T0 + 9)
        assert (view["cause"], view["advice"]) == (None, None)
        assert view["summary"] == "job 7 (ior) is running, received 9 s ago"


class TestTimeline:
    """Everything that happened, by time."""

    HISTORY = History(
        FAILED,
        [
            StoryLine(T0, None, None, None, "received", "from rainbow, as 'ior'"),
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
            ("report", "not reported"),
            ("report", "reported"),
            ("person", "cancel"),
            ("flux", "finish"),
        ]
        json.dumps(entries)

    def test_text_has_the_date_once_and_what_each_said(self) -> None:
        """Flux ids, exit codes, how often a report failed, who asked for the end."""
        text = explain_text(explain_view(self.HISTORY, T0 + 100))
        for words in (
            "\n2024-05-17\n10:00:00.000  agent     received from rainbow, as 'ior'",
            "run submitted (f2)",
            "run finish status=32512 (exit code 127)",
            "a report did not reach rainbow (3 times until 2024-05-17T10:00:09.000Z):",
            "alice@blue-0 asked for its cancellation: wrong input",
        ):
            assert words in text
        assert "big" not in text

    def test_what_users_wrote_cannot_steer_the_terminal(self) -> None:
        """Names, reasons and notes are shown escaped."""
        row = replace(FAILED, name="\x1b[2J", reason="\x1b[31mred")
        text = explain_text(explain_view(replace(self.HISTORY, job=row), T0))
        assert "\x1b" not in text


def test_the_ledger_has_the_history(tmp_path: Path) -> None:
    """Story, reports and the request come from the ledger; of an unknown job there is none."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        key = add_job(ledger, 7, "a")
        ledger.record_report({key: JobState.RECEIVED}, 1001.5)
        ledger.ask_cancel(Cancellation(key, 1001.6, "alice", ""))
        ledger.apply([news(key, "a", TaskState.CANCELED, reason="cancel: stop")])
        history = history_of(ledger, key)
        assert history is not None
        events = [entry["event"] for entry in explain_view(history, 1003.0)["timeline"]]
        assert events == ["received", "pending", "reported", "cancel", "canceled", "canceled"]
        assert history_of(ledger, JobKey("r1", 8)) is None
