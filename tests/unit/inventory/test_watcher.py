"""The thread that watches the cluster: a portrait at the start, another when something settled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from rainbow_agent.core.errors import Fatal, WorkloadUnavailable
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.inventory.description import Portrait
from rainbow_agent.inventory.survey import Answer, Discovery
from rainbow_agent.inventory.watcher import Lookout
from rainbow_agent.runtime.debounce import Settle
from rainbow_agent.runtime.loops import LIMIT, Vitals
from rainbow_agent.runtime.stop import Stop
from support.common import Background, FakeClock, eventually
from support.nodes import FakeExtractor, changed, views


class Pool:
    """A workload manager that has only resources."""

    kind, uri = "flux", "local:///nowhere"

    def __init__(self) -> None:
        self.nodes: list[NodeView] = views(2)
        self.error: Exception | None = None
        self.opened = self.closed = 0

    def open(self) -> Any:
        """A connection (Any: no room here calls anything else of ports.Workload)."""
        self.opened += 1
        return self

    def resources(self) -> PoolView:
        """What a test says."""
        if self.error:
            raise self.error
        return PoolView(tuple(self.nodes))

    def close(self) -> None:
        """Counted."""
        self.closed += 1


class Software:
    """lookout.Software that changes when a test says so."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] | None = None
        self.other = False
        self.stopped = False

    def start(self, changed: Callable[[], None]) -> None:
        """Begin."""
        self.changed = changed

    def look(self) -> bool:
        """Whether it changed."""
        was, self.other = self.other, False
        return was

    def stop(self) -> None:
        """End."""
        self.stopped = True


class Desk:
    """A lookout, and all that it talks to."""

    def __init__(self) -> None:
        self.pool, self.software, self.ranks = Pool(), Software(), FakeExtractor()
        self.clock, self.stop = FakeClock(), Stop()
        self.files: list[Portrait] = []
        self.rings = 0
        self.vitals = Vitals(self.clock)
        self.lookout = Lookout(
            cluster="blue",
            open_workload=self.pool.open,
            discovery=Discovery(extractor=self.ranks, keep=lambda *_: None, clock=self.clock),
            software=self.software,
            shelf=self,
            clock=self.clock,
            stop=self.stop,
            settle=Settle(self.clock, quiet=2.0),
            vitals=self.vitals,
        )
        self.lookout.on_portrait = self._ring

    def keep_cluster(self, portrait: Portrait) -> None:
        """lookout.Shelf."""
        self.files.append(portrait)

    def nodes(self) -> int:
        """How many nodes the portrait has."""
        assert self.lookout.portrait is not None
        return len(self.lookout.portrait.survey.counted)

    def _ring(self) -> None:
        self.rings += 1


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_first_look_makes_a_portrait_at_once(desk: Desk) -> None:
    """The main loop is woken, and the files are written."""
    desk.lookout.tick()
    assert desk.nodes() == 2
    assert desk.files == [desk.lookout.portrait]
    assert desk.rings == 1
    assert desk.lookout.memory_per_node() == 8 * 2**30


def test_an_idle_cluster_is_only_looked_at(desk: Desk) -> None:
    """Jobs that come and go are no reason for another portrait."""
    desk.lookout.tick()
    for _ in range(10):
        desk.clock.advance(5)
        desk.pool.nodes = changed(views(2), 0, cores_free=0)
        desk.lookout.tick()
    assert desk.ranks.asked == [[0, 1]]
    assert desk.rings == 1


def test_a_node_that_goes_counts_when_it_is_quiet(desk: Desk) -> None:
    """Not at once: the others of its rack may follow."""
    desk.lookout.tick()
    desk.clock.advance(5)
    desk.pool.nodes = changed(views(2), 1, up=False)
    desk.lookout.tick()
    assert desk.nodes() == 2
    desk.clock.advance(2)
    desk.lookout.tick()
    assert desk.nodes() == 1
    desk.pool.nodes = views(2)
    desk.lookout.tick()
    desk.clock.advance(2)
    desk.lookout.tick()
    assert desk.nodes() == 2


def test_new_software_has_every_node_asked_again(desk: Desk) -> None:
    """After the last of many writes; whether told of it or found by looking."""
    desk.lookout.tick()
    desk.software.other = True
    desk.ranks.packages = ("ior@3.3.0",)
    for _ in range(3):
        desk.clock.advance(1)
        desk.software.other = True
        desk.lookout.tick()
    assert len(desk.ranks.asked) == 1
    desk.clock.advance(2)
    desk.lookout.tick()
    assert desk.ranks.asked == [[0, 1], [0, 1]]
    assert desk.lookout.portrait is not None
    assert "spack" in {part.name for part in desk.lookout.portrait.subsystems}


def test_a_change_that_changes_nothing_makes_no_portrait(desk: Desk) -> None:
    """A database that was written again with the same content."""
    desk.lookout.tick()
    desk.software.other = True
    desk.lookout.tick()
    desk.clock.advance(2)
    desk.lookout.tick()
    assert (len(desk.ranks.asked), desk.rings) == (2, 1)


def test_what_a_job_installed_on_another_node_is_found(desk: Desk) -> None:
    """Looked for after jobs ended, and not all the time; only that node is asked again."""
    desk.lookout.tick()
    looks = desk.ranks.stamp_looks
    desk.clock.advance(100)
    desk.lookout.tick()
    assert desk.ranks.stamp_looks == looks, "no job ended"
    desk.lookout.jobs_ended()
    desk.lookout.tick()
    desk.ranks.stamped[1] = "another"
    desk.lookout.jobs_ended()
    desk.lookout.tick()
    assert desk.ranks.stamp_looks == looks + 1, "too soon after the last look"
    desk.clock.advance(10)
    desk.lookout.tick()
    desk.clock.advance(2)
    desk.lookout.tick()
    assert desk.ranks.asked == [[0, 1], [1]]


def test_a_silent_node_comes_in_when_it_answers(desk: Desk) -> None:
    """It is asked again by itself, without any other change."""
    desk.ranks.answers[1] = Answer(1, problem="no answer", silent=True)
    desk.lookout.tick()
    assert desk.nodes() == 1
    (silent,) = desk.vitals.conditions.current()
    assert silent.name == "nodes-silent"
    assert "no description of 1 node (blue-1): no answer" in silent.reason
    del desk.ranks.answers[1]
    desk.clock.advance(60)
    desk.lookout.tick()
    assert desk.nodes() == 2
    assert desk.vitals.conditions.current() == []


def test_who_waits_for_the_first_survey_does_not_beat_for_this_loop(desk: Desk) -> None:
    """Or a lookout that is stuck would look alive for as long as somebody waits for it."""
    waits = desk.vitals.loop("main", desk.stop)

    def ask() -> None:
        with pytest.raises(WorkloadUnavailable):
            desk.lookout.graph_text(waits)

    asker = Background(ask)
    asker.start()
    desk.clock.advance(LIMIT + 1)
    eventually(lambda: desk.vitals.pulse.stuck() == ["lookout"], "only the one who waits moves")
    desk.stop.set("the test is over")
    asker.end()


def test_a_workload_manager_that_is_away_is_a_reason_not_a_wait(desk: Desk) -> None:
    """Who wants to register hears it; the last portrait is kept when there is one."""
    desk.pool.error = WorkloadUnavailable("Flux is gone")
    desk.lookout.tick()
    with pytest.raises(WorkloadUnavailable, match="Flux is gone"):
        desk.lookout.graph_text()
    assert (desk.pool.opened, desk.pool.closed) == (1, 1)
    desk.pool.error = None
    desk.lookout.tick()
    assert desk.lookout.graph_text()
    desk.pool.error = WorkloadUnavailable("Flux is gone")
    desk.lookout.tick()
    assert desk.lookout.graph_text()


def test_a_cluster_without_a_node_is_a_reason_too(desk: Desk) -> None:
    """It is registered when one comes."""
    desk.pool.nodes = changed(views(1), 0, up=False)
    desk.lookout.tick()
    with pytest.raises(WorkloadUnavailable, match="no node"):
        desk.lookout.graph_text()


def test_the_thread_ends_with_the_stop(desk: Desk) -> None:
    """And closes what it opened; who waited for the first survey is told."""
    desk.ranks.answers[0] = Answer(0, problem="x")
    thread = threading.Thread(target=desk.lookout.run, daemon=True)
    thread.start()
    eventually(lambda: desk.lookout.portrait, "the first survey")
    desk.stop.set("the test stops it")
    thread.join(10)
    assert not thread.is_alive()
    assert desk.software.stopped
    assert desk.pool.closed == 1


def test_news_wake_the_thread(desk: Desk) -> None:
    """It does not wait for its next look."""
    thread = threading.Thread(target=desk.lookout.run, daemon=True)
    thread.start()
    eventually(lambda: desk.lookout.portrait, "the first survey")
    desk.ranks.packages = ("ior@3.3.0",)
    assert desk.software.changed is not None
    desk.software.changed()
    eventually(desk.lookout._settle.left, "it waits for quiet")
    eventually(lambda: desk.lookout._settle.left() <= 2.0, "it was woken")
    desk.clock.advance(2)
    eventually(lambda: len(desk.ranks.asked) == 2, "the nodes are asked again")
    desk.stop.set("the test stops it")
    thread.join(10)


def test_a_flux_that_can_never_be_reached_ends_the_thread(desk: Desk) -> None:
    """The daemon ends with its reason."""
    desk.pool.error = Fatal("Flux's bindings are not installed")
    with pytest.raises(Fatal, match="not installed"):
        desk.lookout.run()
    assert desk.software.stopped


def test_once_is_for_a_command_that_registers_and_ends(desk: Desk) -> None:
    """One survey, no thread; the connection is closed."""
    with desk.lookout.once():
        assert desk.lookout.graph_text()
    assert desk.pool.closed == 1
    desk.pool.error = WorkloadUnavailable("Flux is gone")
    with pytest.raises(WorkloadUnavailable), Desk().lookout.once(), desk.lookout.once():
        pytest.fail("it was not raised")


def test_status_names_those_that_are_not_as_they_should_be(desk: Desk) -> None:
    """Counts of each condition, then names with reasons."""
    assert desk.lookout.facts() is None
    desk.ranks.answers[1] = Answer(1, problem="no answer", silent=True)
    desk.pool.nodes = changed(changed(views(5), 2, up=False), 3, up=False, drained=True)
    desk.lookout.tick()
    facts = desk.lookout.facts()
    assert facts is not None
    assert {name: facts[name] for name in ("up", "drained", "down", "silent", "described")} == {
        "up": 2,
        "drained": 1,
        "down": 1,
        "silent": 1,
        "described": 3,
    }
    assert [(t["rank"], t["condition"], t["problem"]) for t in facts["troubled"]] == [
        (1, "silent", "no answer"),
        (2, "down", None),
        (3, "drained", None),
    ]
