"""The journal's thread where Flux was restarted with its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger_rebuild import INSTANCE, LINEAGE
from support.journal import World
from support.ledger import add_job, checked_ledger


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        yield World(path, ledger)


def forget(world: World, flux_id: int, *, purged: bool) -> None:
    """A job is no longer there: purged, or Flux continues from a state that never had it."""
    server = world.server
    del server.jobs[flux_id]
    server.events[:] = [event for event in server.events if event.flux_id != flux_id]
    if purged:
        server.lineage = replace(server.lineage, last_id=max(server.lineage.last_id, flux_id))


def restart(world: World) -> None:
    """Another instance continues with the state of the one before."""
    world.server.instances += 1
    world.server.break_connections()


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("noticed", ["by what is remembered", "by a later job"])
def test_a_task_that_was_purged_before_a_restart_with_state_is_lost(
    world: World, noticed: str, *, started: bool
) -> None:
    """It ended while no agent listened: it is never run again, whatever RAINBOW_ON_LOST says."""
    world.on_lost("resubmit")
    job = add_job(world.ledger, 1, "build")
    flux_id = world.submitted(job)
    with world.running():
        world.caught_up()
        if started:
            world.server.start(flux_id)
            world.reaches(job, TaskState.RUNNING)
    forget(world, flux_id, purged=noticed == "by what is remembered")
    if noticed == "by a later job":
        world.in_server(JobKey("somebody-else", 7))
    restart(world)
    with world.restarted_follower():
        world.caught_up()
    assert world.task(job).state is TaskState.LOST
    assert "was purged" in (world.task(job).reason or "")


def test_a_task_that_the_kept_state_never_had_is_submitted_again(world: World) -> None:
    """A Flux that was killed continues from its last checkpoint: what came later went with it."""
    older, job = add_job(world.ledger, 1, "build"), add_job(world.ledger, 2, "build")
    kept, flux_id = world.submitted(older), world.submitted(job)
    with world.running():
        world.caught_up()
    forget(world, flux_id, purged=False)
    restart(world)
    with world.restarted_follower():
        world.caught_up()
    assert world.task(job).state is TaskState.PENDING
    assert (world.task(older).state, world.task(older).flux_id) == (TaskState.SUBMITTED, kept)


@pytest.mark.parametrize("noted", [None, "", "another"])
def test_a_purge_cannot_be_told_where_the_lineage_is_not_known_or_another(
    world: World, noted: str | None
) -> None:
    """Then an instance that is another one was replaced: what waited in it is submitted again."""
    job = add_job(world.ledger, 1, "build")
    flux_id = world.submitted(job)
    with world.running():
        world.caught_up()
    world.ledger.put_note(LINEAGE, noted)
    if noted == "":
        world.server.lineage = Lineage("", 0)
    forget(world, flux_id, purged=True)
    restart(world)
    with world.restarted_follower():
        world.caught_up()
    assert world.task(job).state is TaskState.PENDING
    assert world.ledger.note(LINEAGE) == world.server.lineage.name


def test_an_older_ledger_notes_the_lineage_of_the_instance_it_knows(world: World) -> None:
    """From then on a restart with state is distinguished from a replaced instance."""
    world.ledger.put_note(INSTANCE, "instance-1")
    with world.running():
        world.caught_up()
    assert world.ledger.note(INSTANCE) == "instance-1"
    assert world.ledger.note(LINEAGE) == "lineage-1"
