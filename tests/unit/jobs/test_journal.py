"""The journal's thread: it brings the ledger up to date, keeps it so, and comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import EventKind, Submission, WorkloadEvent
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually
from support.journal import World
from support.ledger import add_job, checked_ledger, news
from support.workload_connection import Break, FakeConnection, FakeJournal


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        yield World(path, ledger)


def test_what_happened_while_the_agent_was_down_is_caught_up(world: World) -> None:
    """A task that ran to its end meanwhile is completed, and the listener gets it."""
    job = add_job(world.ledger, 1, "build")
    world.submitted(job)
    world.server.run_all()
    with world.running():
        world.caught_up()
        assert world.task(job).state is TaskState.COMPLETED
        assert (world.follower.reachable, world.follower.problem) == (True, "")
    assert [(c.key, c.now) for c in world.changes] == [(job, JobState.COMPLETED)]


def test_a_submission_whose_answer_was_lost_is_found_by_its_key(world: World) -> None:
    """Marked submitting, and in the workload manager: it gets its id, and is not sent again."""
    job = add_job(world.ledger, 1, "build")
    world.ledger.apply([news(job, "build", TaskState.SUBMITTING)])
    flux_id = world.in_server(job)
    with world.running():
        world.caught_up()
    assert (world.task(job).state, world.task(job).flux_id) == (TaskState.SUBMITTED, flux_id)


def test_what_the_workload_manager_never_got_stays_submitting(world: World) -> None:
    """It is no news to the journal; the dispatcher puts it back."""
    job = add_job(world.ledger, 1, "build")
    world.ledger.apply([news(job, "build", TaskState.SUBMITTING)])
    with world.running():
        world.caught_up()
    assert world.task(job).state is TaskState.SUBMITTING


def test_a_late_submission_of_a_dead_connection_is_waited_for(world: World) -> None:
    """It is on its way when the follower looks: it settles first, so that the history has it."""
    job = add_job(world.ledger, 1, "build")
    world.ledger.apply([news(job, "build", TaskState.SUBMITTING)])
    dead = world.server.connect()
    world.server.break_at_submit(1, Break.LATE)
    dead.start_submit(Submission(TaskKey(job, "build", 0), {}))
    dead.close()
    with world.running():
        world.caught_up()
    assert world.task(job).state is TaskState.SUBMITTED


def test_what_happens_now_is_written_as_it_happens(world: World) -> None:
    """After the history come the events of the moment."""
    job = add_job(world.ledger, 1, "build")
    flux_id = world.submitted(job)
    with world.running():
        world.caught_up()
        world.server.start(flux_id)
        world.reaches(job, TaskState.RUNNING)
        world.server.finish(flux_id, status=3 << 8)
        world.reaches(job, TaskState.FAILED)
    assert world.task(job).exit_code == 3


def test_that_a_task_was_submitted_is_left_to_the_dispatcher(world: World) -> None:
    """The journal tells it only with what comes next, so that the story is whole in any case."""
    waits, starts = (add_job(world.ledger, n, "build") for n in (1, 2))
    world.ledger.apply([news(job, "build", TaskState.SUBMITTING) for job in (waits, starts)])
    with world.running():
        world.caught_up()
        world.in_server(waits)
        world.server.start(world.in_server(starts))
        world.reaches(starts, TaskState.RUNNING)
        assert world.task(waits).state is TaskState.SUBMITTING
    story = [line.now for line in world.ledger.story(starts) if line.task]
    assert story == ["pending", "submitting", "submitted", "running"]


def test_that_a_task_in_a_group_was_submitted_is_written_at_once(world: World) -> None:
    """Nobody else tells it, and what waits in a group may wait for long."""
    job = world.submitted_group(7)
    submitted = {"task": "g/t", "state": "submitted", "cause": "submitted", "flux_id": 9}
    entry = {"timestamp": 1003.0, "name": "task", "context": submitted}
    key = TaskKey(job, "g", 0)
    world.server.events.append(WorkloadEvent(EventKind.SUBMIT, 7, 1002.0, key=key, group=True))
    with world.running():
        world.caught_up()
        with world.server.changed:
            world.server.events.append(WorkloadEvent(EventKind.INSIDE, 7, 1003.0, news=entry))
            world.server.changed.notify_all()
        eventually(lambda: world.task(job, "g/t").state is TaskState.SUBMITTED, "it is written")
    assert world.task(job, "g/t").submitted == 1003.0


def test_a_history_in_many_pieces_is_one(world: World) -> None:
    """Caught up means all of it: a thousand jobs come in more than one batch."""
    with world.ledger.transaction():
        for n in range(300):
            world.submitted(add_job(world.ledger, n, "build"))
    world.server.run_all()
    with world.running():
        world.caught_up()
        assert world.ledger.counts()[JobState.COMPLETED] == 300


def test_jobs_of_others_and_of_earlier_registrations_are_no_trouble(world: World) -> None:
    """The history holds jobs without our key, and keys that this ledger never saw."""
    events = [
        WorkloadEvent(EventKind.SUBMIT, 5, 1.0),
        WorkloadEvent(EventKind.SUBMIT, 6, 1.0, key=TaskKey(JobKey("gone", 1), "x", 0)),
        WorkloadEvent(EventKind.CLEAN, 6, 1.0),
    ]
    world.server.events.extend(events)
    with world.running():
        world.caught_up()
    assert world.changes == []


def test_a_task_that_is_gone_with_its_instance_is_lost(world: World) -> None:
    """A replaced Flux instance does not know our task: lost, with a reason, and the job too."""
    job = add_job(world.ledger, 1, "build")
    world.submitted(job)
    world.server.replace_instance()
    with world.running():
        world.caught_up()
    found = world.ledger.job(job)
    assert found is not None
    assert (found.state, found.tasks[0].state) == (JobState.LOST, TaskState.LOST)
    assert "no longer knows" in (found.reason or "")


def test_a_task_submitted_after_the_history_was_asked_for_is_not_lost(world: World) -> None:
    """The dispatcher continues while the history is read: what it submits then is not in it."""
    job = add_job(world.ledger, 1, "build")
    world.ledger.apply([news(job, "build", TaskState.SUBMITTING)])

    class Connection(FakeConnection):
        def open_journal(
            self,
            follow: Callable[[TaskKey], bool] | None = None,
        ) -> FakeJournal:
            journal = super().open_journal()
            flux_id = world.in_server(job)
            with closing(SqliteLedger.open(world.path)) as ledger:  # another thread, as it were
                ledger.apply([news(job, "build", TaskState.SUBMITTED, flux_id=flux_id)])
            return journal

    world.open_workload = lambda: Connection(world.server)
    with world.running():
        world.caught_up()
        assert world.task(job).state is TaskState.SUBMITTED
        world.server.run_all()
        world.reaches(job, TaskState.COMPLETED)


def test_it_waits_for_a_workload_manager_that_is_not_there_yet(world: World) -> None:
    """The agent may start before Flux does."""
    world.server.down = True
    with world.running():
        eventually(lambda: world.follower.reachable is False, "it noticed")
        assert "cannot be reached" in world.follower.problem
        assert not world.follower.caught_up.is_set()
        world.server.down = False
        world.caught_up()
        assert (world.follower.reachable, world.follower.problem) == (True, "")


def test_what_happens_while_the_stream_is_broken_is_not_missed(world: World) -> None:
    """It opens the journal again and reads the history again: nothing falls between."""
    job = add_job(world.ledger, 1, "build")
    world.submitted(job)
    with world.running():
        world.caught_up()
        with world.server.changed:
            world.server.break_connections()
            world.server.run_all()
        world.reaches(job, TaskState.COMPLETED)
        world.caught_up(times=2)
    assert world.server.journals_opened == 2


def test_a_break_in_the_middle_of_the_history_starts_it_over(world: World) -> None:
    """Half a history is no history: nothing is lost by it, and it is read again from the start."""
    job = add_job(world.ledger, 1, "build")
    world.submitted(job)
    world.server.run_all()
    first = True

    class Connection(FakeConnection):
        def open_journal(
            self,
            follow: Callable[[TaskKey], bool] | None = None,
        ) -> FakeJournal:
            nonlocal first
            journal = super().open_journal()
            journal.broken, first = first, False
            return journal

    world.open_workload = lambda: Connection(world.server)
    with world.running():
        world.caught_up()
        assert world.task(job).state is TaskState.COMPLETED
    assert (world.server.journals_opened, world.follower.generation) == (2, 1)


def test_a_resync_reads_the_history_again(world: World) -> None:
    """The dispatcher asks for it when it does not know the fate of its submissions."""
    with world.running():
        world.caught_up()
        world.follower.request_resync()
        world.caught_up(times=2)
    assert world.server.journals_opened == 2


def test_a_history_that_was_begun_before_a_resync_does_not_count(world: World) -> None:
    """Submissions that broke off after it was asked for are not in it: it would be a lie.

    The dispatcher would put them back and submit them a second time.
    """
    asked = threading.Event()

    class Journal(FakeJournal):
        def next_events(self, timeout: float) -> list[WorkloadEvent]:
            events = super().next_events(timeout)
            if not asked.is_set() and any(e.kind is EventKind.CAUGHT_UP for e in events):
                asked.set()
                world.follower.request_resync()  # by the dispatcher's thread, as it were
            return events

    class Connection(FakeConnection):
        def open_journal(
            self,
            follow: Callable[[TaskKey], bool] | None = None,
        ) -> FakeJournal:
            world.server.journals_opened += 1
            return Journal(world.server)

    class Witness(threading.Event):
        def set(self) -> None:
            seen.append(world.server.journals_opened)
            super().set()

    seen: list[int] = []
    world.open_workload = lambda: Connection(world.server)
    world.follower.caught_up = Witness()
    with world.running():
        eventually(lambda: 2 in seen, "the second history was read")
    assert seen == [2]


def test_a_copy_that_somebody_made_of_our_job_is_not_our_job(world: World) -> None:
    """A jobspec that is taken from a job of ours and submitted by hand carries our key along.

    What becomes of the copy is no news of the task, and nothing dies of it.
    """
    job = add_job(world.ledger, 1, "build")
    ours = world.submitted(job)
    with world.running():
        world.caught_up()
        world.server.start(ours)
        world.server.finish(ours)
        world.reaches(job, TaskState.COMPLETED)
        copy = world.in_server(job)
        world.server.start(copy)
        world.server.finish(copy, status=1 << 8)
        marker = add_job(world.ledger, 2, "build")
        world.submitted(marker)
        world.server.run_all()
        world.reaches(marker, TaskState.COMPLETED)
    assert (world.task(job).state, world.task(job).flux_id) == (TaskState.COMPLETED, ours)


def test_a_copy_in_the_history_does_not_keep_the_agent_from_starting(world: World) -> None:
    """Both ends of job and copy are read in one go; the one with the ledger's id counts."""
    job = add_job(world.ledger, 1, "build")
    ours = world.submitted(job)
    copy = world.in_server(job)
    for flux_id, status in ((copy, 1 << 8), (ours, 0)):
        world.server.start(flux_id)
        world.server.finish(flux_id, status)
    with world.running():
        world.caught_up()
    assert (world.task(job).state, world.task(job).flux_id) == (TaskState.COMPLETED, ours)


def test_a_stop_ends_it_whatever_it_waits_for(world: World) -> None:
    """Also while the workload manager is away; afterwards it does not count as caught up."""
    world.server.down = True
    with world.running():
        eventually(lambda: world.follower.reachable is False, "it noticed")
    assert not world.follower.caught_up.is_set()


def test_a_workload_manager_that_is_away_is_a_condition_until_it_is_back(world: World) -> None:
    """`status` and readiness say it with the reason; it is over once the history is read."""
    world.server.down = True
    with world.running():
        eventually(world.telemetry.conditions.current, "it is said")
        assert [c.name for c in world.telemetry.conditions.current()] == ["workload-unreachable"]
        world.server.down = False
        world.caught_up()
        assert world.telemetry.conditions.current() == []


def test_the_heartbeat_goes_on_without_events(world: World) -> None:
    """Somebody who looks can tell a quiet follower from a dead one."""
    with world.running():
        world.caught_up()
        world.clock.advance(60.0)
        eventually(lambda: not world.telemetry.loop_health.stuck(), "it beats")
        assert set(world.telemetry.loop_health.ages()) == {"journal"}
    assert world.telemetry.loop_health.ages() == {}
