"""Why a job does not move, beside its own dependencies and resources."""

from __future__ import annotations

import pytest

from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring import blocked
from rainbow_agent.monitoring.blocked import Blocked
from rainbow_agent.monitoring.explain import History, explain_text, explain_view
from support.job_rows import T0, job, task

STOPPED = Obstacle(ObstacleKind.QUEUE_STOPPED, reason="maintenance until noon")
SUBMITTED = job(
    JobState.SUBMITTED,
    task("a", TaskState.SUBMITTED, flux_id=1, submitted=T0),
    task("b", TaskState.RUNNING, flux_id=2, submitted=T0, started=T0, position=1),
)


@pytest.mark.parametrize(
    ("queue", "obstacles", "words"),
    [
        ("", [], ""),
        ("", [STOPPED], "for its queue to be started: the queue is stopped, so no job of it"),
        ("", [Obstacle(ObstacleKind.NO_SCHEDULER)], "for a scheduler: no scheduler is loaded"),
        ("debug", [Obstacle(ObstacleKind.QUEUE_STOPPED, "debug")], "the queue debug is stopped"),
        ("batch", [Obstacle(ObstacleKind.QUEUE_STOPPED, "debug")], ""),
        ("", [Obstacle(ObstacleKind.QUEUE_DISABLED)], ""),
    ],
)
def test_what_keeps_a_job_in_its_queue(queue: str, obstacles: list[Obstacle], words: str) -> None:
    """A job in another queue, and one that was taken before the queue was disabled, is not kept."""
    found, advice = blocked.for_obstacles(queue, obstacles)
    assert words in found
    assert bool(words) == bool(found) == bool(advice)


def test_what_keeps_a_job_from_being_submitted() -> None:
    """No daemon, or the condition under which nothing is submitted; others do not count."""
    found = blocked.for_submission(running=False, reasons={})
    assert "no daemon is running" in found.submission
    assert "rainbow-agent start" in found.advice
    held = {"rainbow-unreachable": "no", "workload-takes-no-jobs": "no queue specified"}
    found = blocked.for_submission(running=True, reasons=held)
    assert found.submission == "for the agent to submit it: no queue specified"
    assert "RAINBOW_QUEUE" in found.advice
    assert blocked.for_submission(running=True, reasons={"nodes-silent": "one"}) == Blocked()


def test_the_daemon_knows_by_its_conditions() -> None:
    """Only tasks that have not started are kept by them."""
    found = blocked.by_conditions(SUBMITTED, {"queue-stopped": str(STOPPED)})
    assert set(found.tasks) == {SUBMITTED.tasks[0].key}
    assert "maintenance until noon" in found.tasks[SUBMITTED.tasks[0].key]
    found = blocked.by_conditions(SUBMITTED, {"disk-nearly-full": "1 MiB is free"})
    assert list(found.tasks.values()) == ["to be started"]


def test_explain_says_it_in_the_place_of_free_resources() -> None:
    """A job that was not submitted says why not."""
    what, advice = blocked.for_obstacles("", [STOPPED])
    kept = Blocked(tasks={SUBMITTED.tasks[0].key: what}, advice=advice)
    text = explain_text(explain_view(History(SUBMITTED, (), blocked=kept), T0 + 42))
    assert "waited: a, 42 s so far for its queue to be started: the queue is stopped" in text
    assert "free resources" not in text
    assert "\nto do: `flux queue start` when it may run again\n" in text
    row = job(JobState.RECEIVED)
    kept = blocked.for_submission(running=False, reasons={})
    text = explain_text(explain_view(History(row, (), blocked=kept), T0 + 42))
    assert "waited: 42 s so far for the agent to submit it: no daemon is running" in text
