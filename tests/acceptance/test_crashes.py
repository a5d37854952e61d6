"""SIGKILL at each step (support.crash_steps): the end is the same as without, over all parts.

That each task ran once is proven by what the tasks wrote and by the workload manager's journal,
that each job was accepted once by rainbow's database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rainbow_agent.core.states import FINAL_TASK_STATES, JobState, TaskState
from rainbow_agent.runtime.fault_injection import CrashPoint
from support.common import eventually
from support.crash_disk import LET_GO, OFFERED, ON_DISK
from support.crashes import Ground, diamond, grouped, long, set_up
from support.crashes_of_senders import a_question, an_answer, news
from support.servers import SchedulerKind
from support.site import missing_parts
from support.tiers import sample

#: One of each story, and those at which a job could be lost or run twice.
QUICK = [
    CrashPoint.RECEIVED,
    CrashPoint.SENT,
    CrashPoint.SUBMITTED,
    CrashPoint.ACCEPTED,
    CrashPoint.END_HEARD,
    CrashPoint.GRAPH_DROPPED,
    CrashPoint.HISTORY_READ,
    CrashPoint.SORTING,
    CrashPoint.CANCEL_SENT,
]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
        pytest.param(
            (SchedulerKind.REAL, True),
            id="rainbow-flux",
            marks=[pytest.mark.rainbow, pytest.mark.flux],
        ),
    ],
)
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Each pair of parts."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with ExitStack() as stack:
        yield Ground(kind, tmp_path_factory.mktemp("crashes"), stack, flux=flux)


# -- a job's life ---------------------------------------------------------------------------------


def a_job(ground: Ground, point: CrashPoint, _: Path, time: int = 1) -> None:
    """Killed while a job is on its way: it is finished by the next start."""
    stage, name = ground.stage, f"{point.value}-{time}"
    reference = ground.finished
    stage.send(diamond, name)
    stage.dies_at(point, time=time)
    assert ON_DISK[point](stage, name), stage.site.program.rows()[-1:]
    if point in OFFERED or point in LET_GO:
        assert bool(stage.site.fleet.waiting()) == (point in OFFERED)
    stage.finishes(name)
    assert stage.ending(name) == reference
    assert reference.lines == ["build", "left", "left", "report", "right"]
    assert reference.between == ("build", "report")
    assert set(reference.submitted.values()) == {1}
    assert reference.let_go == 1


def a_report(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """Killed while a job's end is reported: in the end rainbow has it, and the ledger knows."""
    told = "jobs_completed == 1"
    with set_up(folder, ground.kind, flux=ground.flux) as stage:
        stage.send(diamond, "told")
        stage.dies_at(point)
        assert stage.row("told").state is JobState.COMPLETED
        assert stage.site.fleet.state_holds(told) == (point is not CrashPoint.REPORT_MADE)
        assert ("completed" in stage.reported("told")) == (point is CrashPoint.REPORT_NOTED)
        stage.finishes("told")
        stage.tells_all()
        assert stage.site.fleet.state_holds(f"{told} && jobs_running == 0 && jobs_submitted == 0")
        assert stage.reported("told").count("completed") == 1
        assert stage.reported("told")[-1] == "completed"
        assert stage.ending("told").lines == ["build", "left", "left", "report", "right"]


def a_start(ground: Ground, point: CrashPoint, _: Path) -> None:
    """Killed in the middle of a submission, and again while the next start sorts that out."""
    stage, name, reference = ground.stage, point.value, ground.finished
    stage.send(diamond, name)
    if point is CrashPoint.RECOVERED:
        stage.dies_at(CrashPoint.MARKED)
    else:
        stage.dies_at(CrashPoint.SUBMITTED)
        eventually(lambda: f"{name} build" in stage.site.written(), "the first task has run")
    stage.dies_at(point)
    found = stage.states(name)
    if point is CrashPoint.RECOVERED:
        assert set(found.values()) == {TaskState.PENDING}
    else:
        assert (found["build"] is TaskState.SUBMITTING) == (point is CrashPoint.HISTORY_READ)
        assert found["report"] is TaskState.SUBMITTING
    stage.finishes(name)
    assert stage.ending(name) == reference


# -- somebody wants a job to end ------------------------------------------------------------------


def a_wish(ground: Ground, point: CrashPoint, _: Path) -> None:
    """Agent and `cancel` are killed one after the other: the job ends at the next start."""
    stage, name, reference = ground.stage, point.value, ground.canceled
    with stage.site.program.background("start") as agent:
        stage.runs_long(name)
        agent.kill()
    stage.stores_wish(name)
    assert stage.row(name).state is JobState.RUNNING
    stage.finishes(name)
    assert stage.ending(name) == reference
    assert reference.state[0] is JobState.CANCELED
    assert reference.lines == ["first"]


def a_withdrawal(ground: Ground, point: CrashPoint, _: Path) -> None:
    """Half submitted, then canceled while no agent runs: the other half never goes to Flux."""
    stage, name = ground.stage, point.value
    stage.send(long, name)
    stage.dies_at(CrashPoint.SUBMITTED)
    stage.stores_wish(name)
    stage.dies_at(point)
    found = stage.states(name)
    assert found["second"] is TaskState.CANCELED
    assert found["first"] not in FINAL_TASK_STATES
    stage.finishes(name)
    ending = stage.ending(name)
    assert ending.state[0] is JobState.CANCELED
    assert {state for _, _, state, _, _ in ending.tasks} == {TaskState.CANCELED}
    assert ending.submitted == {("first", 0): 1}
    assert (ending.lines, ending.let_go) == (["first"], 1)


def a_cancellation(ground: Ground, point: CrashPoint, _: Path) -> None:
    """Killed once Flux has the cancellation, or once the job is over and the request still open."""
    stage, name, reference = ground.stage, point.value, ground.canceled
    with stage.armed(point):
        stage.runs_long(name)
        assert stage.cancel(name) in (0, 124)  # asked, and not waited for
    found = stage.cancellation(name)
    assert found is not None
    assert found.done is None
    assert (stage.row(name).state is JobState.CANCELED) == (point is CrashPoint.CANCELED)
    stage.finishes(name)
    assert stage.ending(name) == reference


def a_stop(ground: Ground, point: CrashPoint, _: Path) -> None:
    """Killed in the middle of a stop that cancels what runs."""
    stage, name = ground.stage, point.value
    with stage.armed(point, on_stop="cancel") as agent:
        stage.runs_long(name)
        agent.signal()
    assert stage.states(name)["first"] is TaskState.RUNNING
    stage.finishes(name)
    ending = stage.ending(name)
    assert {state for _, _, state, _, _ in ending.tasks} == {TaskState.CANCELED}
    assert set(ending.submitted.values()) == {1}
    assert (ending.lines, ending.let_go) == (["first"], 1)


# -- the membership in the fleet ------------------------------------------------------------------


def a_lost_secret(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """The one loss that cannot be healed is reported: rainbow gives a secret only once; exit 42."""
    with set_up(folder, ground.kind, flux=ground.flux, register=False) as stage:
        stage.dies_at(point)
        with stage.site.program.background("start") as agent:
            assert agent.wait() == 42, agent.log()
        assert "gives its secret only once" in agent.log()


def a_registration(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """Rainbow lost the cluster while a job ran: it registers again, once, and the job continues."""
    with set_up(folder, ground.kind, flux=ground.flux) as stage:
        with stage.site.program.background("start") as agent:
            stage.runs_long("before")
            agent.kill()
        old = stage.secret()
        stage.site.scheduler.restart(keep_db=False)
        stage.dies_at(point)
        new = stage.secret()
        assert new != old
        stage.books.watch()
        stage.stores_wish("before")
        stage.send(diamond, "after")
        stage.finishes("before", "after")
        stage.tells_all()
        assert stage.secret() == new
        assert stage.row("before").key.registration != stage.row("after").key.registration
        assert [row.key.id for row in stage.site.program.rows()] == [1, 1]
        assert stage.site.program.show("status")["registration"] == (
            stage.row("after").key.registration
        )
        assert stage.row("before").state is JobState.CANCELED
        assert stage.row("after").state is JobState.COMPLETED
        assert set(stage.ending("after").submitted.values()) == {1}


def a_first_registration(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """A secret that is on disk is used, whatever the ledger knows: no second registration."""
    for part in ("first", "again"):
        (folder / part).mkdir()
    with set_up(folder / "first", ground.kind, flux=ground.flux, register=False) as stage:
        stage.dies_at(point)
        given = stage.secret()
        assert stage.site.program.show("status")["registration"] is None
        stage.send(diamond, "after")
        stage.finishes("after")
        assert stage.secret() == given
    a_registration(ground, point, folder / "again")


def a_renewal(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """The cluster has other nodes now: killed while rainbow has no graph of it, or no row."""
    token = "" if point is CrashPoint.GRAPH_DROPPED else "a-token-that-all-clusters-share"
    with set_up(folder, ground.kind, flux=ground.flux, global_token=token) as stage:
        stage.send(diamond, "before")
        stage.finishes("before")
        old = stage.secret()
        stage.instance.replace(cores=3, brokers=2)
        stage.dies_at(point)
        assert not stage.fits()
        assert stage.secret() == old
        with stage.site.program.background("start") as agent:
            eventually(stage.fits, "rainbow knows the cluster again", seconds=60)
            stage.send(diamond, "after")
            stage.site.program.await_end(2)
            agent.stop()
        stage.finishes("after")
        assert (stage.secret() == old) == (point is CrashPoint.GRAPH_DROPPED)
        for name in ("before", "after"):
            assert stage.row(name).state is JobState.COMPLETED
        assert set(stage.ending("after").submitted.values()) == {1}


# -- another instance -----------------------------------------------------------------------------


def a_loss(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """The instance was replaced, and the agent is killed while it sorts out what became of it."""
    with set_up(folder, ground.kind, flux=ground.flux) as stage:
        with stage.site.program.background("start") as agent:
            stage.runs_long("ran")
            agent.kill()
        stage.instance.replace()
        stage.dies_at(point)
        sorted_out = point is CrashPoint.SORTED
        first, second = stage.states("ran")["first"], stage.states("ran")["second"]
        assert first is (TaskState.LOST if sorted_out else TaskState.RUNNING)
        assert second is (TaskState.PENDING if sorted_out else TaskState.SUBMITTED)
        stage.finishes("ran")
        ending = stage.ending("ran")
        assert ending.state[0] is JobState.LOST
        assert "RAINBOW_ON_LOST=fail" in (ending.state[1] or "")
        assert [state for _, _, state, _, _ in ending.tasks] == [
            TaskState.LOST,
            TaskState.CANCELED,
        ]
        assert (ending.submitted, ending.lines, ending.let_go) == ({}, ["first"], 1)
        stage.tells_all()


Story = Callable[[Ground, CrashPoint, Path], None]
STORIES: dict[CrashPoint, Story] = {
    **dict.fromkeys(ON_DISK, a_job),
    CrashPoint.REGISTERED: a_lost_secret,
    CrashPoint.STORED: a_first_registration,
    CrashPoint.OPENED: a_registration,
    CrashPoint.DEREGISTERED: a_renewal,
    CrashPoint.GRAPH_DROPPED: a_renewal,
    CrashPoint.REPORT_MADE: a_report,
    CrashPoint.REPORTED: a_report,
    CrashPoint.REPORT_NOTED: a_report,
    CrashPoint.NEWS_MADE: news,
    CrashPoint.NEWS_TOLD: news,
    CrashPoint.NEWS_NOTED: news,
    CrashPoint.ASKED: a_question,
    CrashPoint.ASKED_DONE: a_question,
    CrashPoint.ANSWERED: an_answer,
    CrashPoint.HISTORY_READ: a_start,
    CrashPoint.HISTORY_WRITTEN: a_start,
    CrashPoint.RECOVERED: a_start,
    CrashPoint.SORTING: a_loss,
    CrashPoint.SORTED: a_loss,
    CrashPoint.CANCEL_REQUESTED: a_wish,
    CrashPoint.WITHDRAWN: a_withdrawal,
    CrashPoint.CANCEL_SENT: a_cancellation,
    CrashPoint.CANCELED: a_cancellation,
    CrashPoint.STOP_CANCELED: a_stop,
}


@pytest.mark.parametrize("point", sample(CrashPoint, quick=QUICK))
def test_killed_after_a_step(ground: Ground, point: CrashPoint, tmp_path: Path) -> None:
    """Killed right after any step, the next start brings all to the end that it would have had."""
    assert point in STORIES, f"{point.value} has no story: write one"
    STORIES[point](ground, point, tmp_path)


@pytest.mark.parametrize("point", [CrashPoint.SENT, CrashPoint.SUBMITTED])
def test_killed_in_the_middle_of_submitting(
    ground: Ground, point: CrashPoint, tmp_path: Path
) -> None:
    """Some tasks of a job are in the workload manager, some are not: none runs twice, in order."""
    a_job(ground, point, tmp_path, time=3)


@pytest.mark.parametrize("point", [CrashPoint.SUBMITTED, CrashPoint.END_HEARD])
def test_killed_around_a_group(ground: Ground, point: CrashPoint) -> None:
    """A group is one job to the agent: it starts once, what is inside runs once and is reported."""
    stage, name = ground.stage, f"group-{point.value}"
    stage.send(grouped, name)
    stage.dies_at(point, time=2)
    stage.finishes(name)
    ending = stage.ending(name)
    assert {(name, state) for name, _, state, _, _ in ending.tasks} == {
        (name, TaskState.COMPLETED) for name in ("build", "g", "g/inside", "g/last")
    }
    assert ending.lines == ["build", "inside", "last"]
    assert ending.submitted == {("build", 0): 1, ("g", 0): 1}
    assert ending.let_go == 1


@pytest.mark.full
@pytest.mark.parametrize("before", [CrashPoint.WRITTEN, CrashPoint.PLANNED, CrashPoint.MARKED])
def test_canceled_before_it_was_submitted(ground: Ground, before: CrashPoint) -> None:
    """A request that came while no agent ran is carried out before anything is submitted."""
    stage, name = ground.stage, f"canceled-{before.value}"
    stage.send(diamond, name)
    stage.dies_at(before)
    stage.stores_wish(name)
    stage.dies_at(CrashPoint.CANCELED)
    assert stage.row(name).state is JobState.CANCELED
    stage.finishes(name)
    ending = stage.ending(name)
    assert (ending.lines, ending.submitted) == ([], {})
    assert ending.let_go == 1


@pytest.mark.full
def test_rainbow_was_told_of_all(ground: Ground) -> None:
    """Whatever agents died on the way, in the end rainbow knows how every job of before ended."""
    assert ground.finished.let_go == 1
    ground.stage.tells_all()
