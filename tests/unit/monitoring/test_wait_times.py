"""What a job waited for, and for how long."""

from __future__ import annotations

from dataclasses import replace

from rainbow_agent.core.model import StoryLine, TaskKind
from rainbow_agent.core.notation import f58
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import TaskEvent
from rainbow_agent.monitoring.explain import History, explain_text, explain_view
from rainbow_agent.monitoring.wait_times import wait_times
from support.job_rows import FAILED, T0, job, task

DENIAL = 'alloc: alloc denied due to type="unsatisfiable"'


class TestWaitTimes:
    """What it waited for."""

    def test_for_what_comes_first_then_for_resources(self) -> None:
        """Times of the ledger alone tell both."""
        found = [(w.task, w.what, w.seconds) for w in wait_times(FAILED, {}, T0 + 100)]
        assert found == [
            ("", "for the agent to submit it", 1.0),
            ("build", "for free resources", 3.0),
            ("run", "for build to complete", 19.0),
            ("run", "for free resources", 30.0),
        ]

    def test_events_are_more_exact(self) -> None:
        """The moment when resources were given counts, not the start."""
        events = {FAILED.tasks[1].key: [TaskEvent(T0 + 22, "depend"), TaskEvent(T0 + 30, "alloc")]}
        found = {(w.task, w.what): w.seconds for w in wait_times(FAILED, events, T0 + 100)}
        assert found["run", "for build to complete"] == 21.0
        assert found["run", "for free resources"] == 8.0

    def test_a_wait_that_goes_on(self) -> None:
        """It has no end, and is measured up to now."""
        row = job(JobState.SUBMITTED, task("a", TaskState.SUBMITTED, submitted=T0))
        (wait,) = wait_times(row, {}, T0 + 42)
        assert (wait.end, wait.seconds) == (None, 42.0)
        text = explain_text(explain_view(History(row, ()), T0 + 42))
        assert "waited: a, 42 s so far for free resources" in text

    def test_the_longest_of_replicas_speaks_for_all(self) -> None:
        """A thousand replicas are one line."""
        rows = [
            task("a", TaskState.RUNNING, replica=n, submitted=T0, started=T0 + n)
            for n in range(1000)
        ]
        found = wait_times(job(JobState.RUNNING, *rows), {}, T0 + 5000)
        assert [(w.task, w.seconds) for w in found] == [("a", 999.0)]

    def test_a_task_that_never_ran_waited_until_its_end(self) -> None:
        """Its first task failed: it waited for that one until it was canceled."""
        first = task("a", TaskState.FAILED, submitted=T0, started=T0, finished=T0 + 5)
        second = task(
            "b", TaskState.CANCELED, submitted=T0, finished=T0 + 5, depends_on=("a",), position=1
        )
        found = wait_times(job(JobState.FAILED, first, second), {}, T0 + 50)
        assert [(w.task, w.what, w.seconds) for w in found] == [("b", "for a to complete", 5.0)]

    def test_a_held_job_waits_to_be_released(self) -> None:
        """Urgency 0, at its submission or later; before and after that it waits for resources."""
        row = job(JobState.SUBMITTED, task("a", TaskState.SUBMITTED, submitted=T0))
        log = [
            TaskEvent(T0, "submit", {"urgency": 16}),
            TaskEvent(T0 + 10, "urgency", {"urgency": 0}),
            TaskEvent(T0 + 11, "urgency", {"urgency": 0}),
        ]
        found = wait_times(row, {row.tasks[0].key: log}, T0 + 40)
        assert [(w.what[:15], w.seconds, w.end) for w in found] == [
            ("for free resour", 10.0, T0 + 10),
            ("to be released:", 30.0, None),
        ]
        log.append(TaskEvent(T0 + 25, "urgency", {"urgency": 16}))
        found = wait_times(row, {row.tasks[0].key: log}, T0 + 60)
        assert [(w.what[:15], w.seconds, w.end) for w in found] == [
            ("to be released:", 15.0, T0 + 25),
            ("for free resour", 35.0, None),
        ]
        held = [TaskEvent(T0, "submit", {"urgency": 0}), TaskEvent(T0 + 9, "alloc")]
        found = wait_times(row, {row.tasks[0].key: held}, T0 + 60)
        assert [(w.what[:15], w.seconds) for w in found] == [("to be released:", 9.0)]

    def test_a_task_that_waits_in_its_group(self) -> None:
        """Since its group's scheduler denied it, for what the group's runner says."""
        group = task("g", TaskState.RUNNING, kind=TaskKind.GROUP, submitted=T0, started=T0)
        inside = task("g/both", TaskState.PENDING, group="g", position=1)
        says = "it waits for nodes to be up: blue-1 (drained)"
        row = job(JobState.RUNNING, group, replace(inside, reason=says))
        denied = StoryLine(T0 + 9, "g/both", 0, "submitted", "pending", DENIAL)
        view = explain_view(History(row, [denied]), T0 + 30)
        assert "waited: g/both, 21 s so far for nodes to be up: blue-1 (drained)" in explain_text(
            view
        )
        (wait,) = wait_times(row, {}, T0 + 30)  # denied before it was known to be submitted
        assert (wait.task, wait.start, wait.end) == ("g/both", T0, None)
        waits_no_more = job(JobState.RUNNING, group, inside)
        assert not wait_times(waits_no_more, {}, T0 + 30, story=[denied])

    def test_a_wait_for_nodes_that_is_over(self) -> None:
        """It was submitted, denied, and submitted again when its nodes were up."""
        task_row = task("a", TaskState.RUNNING, flux_id=9, submitted=T0 + 60, started=T0 + 60)
        story = [
            StoryLine(at, "a", 0, was, now, cause)
            for at, was, now, cause in [
                (T0, None, "pending", "planned"),
                (T0 + 2, "submitting", "submitted", "submitted"),
                (T0 + 5, "submitted", "pending", DENIAL),
                (T0 + 59, "pending", "submitting", "about to be submitted"),
                (T0 + 60, "submitting", "submitted", "submitted"),
            ]
        ]
        view = explain_view(History(job(JobState.RUNNING, task_row), story), T0 + 70)
        assert [(w["for"], w["seconds"]) for w in view["waits"]] == [
            ("for the agent to submit it", 2.0),
            ("for nodes to be up", 54.0),
        ]
        text = explain_text(view)  # the job that was denied had another id
        assert text.count(f58(9)) == 1
        assert text.index(f58(9)) > text.index("about to be submitted")
