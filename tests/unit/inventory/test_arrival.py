"""Nodes that come one after the other when an instance starts are awaited, and never for ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.inventory import watcher
from rainbow_agent.inventory.arrival import ARRIVAL_PAUSE_S, MAX_ARRIVAL_S, Arrival
from rainbow_agent.inventory.description import ClusterDescription, describe_cluster
from rainbow_agent.inventory.survey import NodeAnswer
from support.common import Background, FakeClock, eventually
from support.node_watcher import Harness
from support.nodes import FakeExtractor, changed, survey_of, views


class Starting:
    """An arrival that has begun, and its clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.arrival = Arrival(self.clock)
        self.arrival.begin()

    def are_up(self, count: int, of: int, ranks: FakeExtractor | None = None) -> bool:
        """The first so many nodes are up; whether the others are still awaited."""
        look(self.arrival, some(count, of), ranks)
        return not self.arrival.over


def look(arrival: Arrival, nodes: list[NodeView], ranks: FakeExtractor | None = None) -> None:
    """At nodes that were all asked just now."""
    counted = {node.view.rank for node in survey_of(nodes, extractor=ranks).counted}
    arrival.look(PoolView(tuple(nodes)), counted)


def some(count: int, of: int) -> list[NodeView]:
    """So many nodes, of which the first are up."""
    nodes = views(of)
    for rank in range(count, of):
        nodes = changed(nodes, rank, up=False)
    return nodes


@pytest.fixture
def starting() -> Starting:
    return Starting()


def test_all_are_there_at_once(starting: Starting) -> None:
    """Nothing is waited for, also where one is drained."""
    assert not starting.are_up(3, of=3)
    other = Starting()
    drained = changed(views(3), 1, up=False, drained=True)
    assert other.arrival.complete(PoolView(tuple(drained)))
    look(other.arrival, drained)
    assert other.arrival.over


def test_they_come_one_after_the_other(starting: Starting) -> None:
    """Each that comes has the others waited for again; the last ends it."""
    for count in (1, 2, 3):
        assert starting.are_up(count, of=4)
        assert len(starting.arrival.missing) == 4 - count
        assert "blue-3): until 20 s after the last one that came" in starting.arrival.awaited()
        starting.clock.advance(ARRIVAL_PAUSE_S - 1)
    assert not starting.are_up(4, of=4)
    assert starting.are_up(1, of=4) is False, "what goes later is not awaited"


def test_the_others_do_not_come(starting: Starting) -> None:
    """They are down, or have no place on this Kubernetes."""
    assert starting.are_up(1, of=4)
    starting.clock.advance(ARRIVAL_PAUSE_S)
    assert not starting.are_up(1, of=4)


def test_one_that_comes_and_goes_does_not_prolong_it(starting: Starting) -> None:
    """Only a node that was not there before is news."""
    for count in (2, 1, 2, 1):
        assert starting.are_up(count, of=3)
        starting.clock.advance(ARRIVAL_PAUSE_S / 4)
    assert not starting.are_up(2, of=3)


def test_a_large_cluster_comes_slowly(starting: Starting) -> None:
    """What is there after a minute is registered."""
    count = 1
    while starting.are_up(count, of=1000):
        assert starting.clock.monotonic() < MAX_ARRIVAL_S + FakeClock().monotonic()
        starting.clock.advance(1)
        count += 1


def test_one_that_is_up_and_says_nothing_yet_has_not_come(starting: Starting) -> None:
    """It would change the graph a little later."""
    ranks = FakeExtractor()
    ranks.answers[1] = NodeAnswer(1, problem="no answer", silent=True)
    assert starting.are_up(2, of=2, ranks=ranks)
    assert starting.arrival.missing == ("blue-1",)
    assert not starting.are_up(2, of=2)


def test_before_it_begins_nothing_is_awaited() -> None:
    """For a command that looks once."""
    arrival = Arrival(FakeClock())
    look(arrival, some(1, of=2))
    assert arrival.over
    assert not arrival.complete(PoolView(tuple(views(2))))


def test_a_first_registration_has_the_nodes_that_start() -> None:
    """The lead is there before the others, and rainbow gets one graph, as soon as all are there."""
    harness = Harness()
    harness.pool.nodes = changed(changed(views(3), 1, up=False), 2, up=False)
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: harness.watcher.description, "the lead is described")
    graphs: list[str] = []
    asker = Background(lambda: graphs.append(harness.watcher.graph_text()))
    asker.start()
    harness.clock.advance(ARRIVAL_PAUSE_S / 2)
    harness.pool.nodes = changed(views(3), 2, up=False)
    eventually(lambda: harness.watcher._settle.changed, "one more was seen")
    harness.clock.advance(3)
    eventually(lambda: harness.nodes() == 2, "one more is described")
    assert harness.watcher.arriving()
    assert graphs == []
    harness.pool.nodes = views(3)
    asker.end()
    assert graphs == [harness.watcher.graph_text()]
    assert harness.nodes() == 3
    assert not harness.watcher.arriving()
    harness.stop.set("the test stops it")
    thread.join(120)


def test_nodes_are_awaited_until_they_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the last of them registers with it, and not with what was known before."""
    harness = Harness()
    harness.pool.nodes = changed(views(3), 2, up=False)
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: harness.watcher.description, "two are described")
    awaited: list[bool] = []

    def describe(*arguments: Any) -> ClusterDescription:
        awaited.append(harness.watcher.arriving())
        return describe_cluster(*arguments)

    monkeypatch.setattr(watcher, "describe_cluster", describe)
    harness.pool.nodes = views(3)
    eventually(lambda: harness.nodes() == 3, "the third is described")
    assert awaited == [True]
    assert not harness.watcher.arriving()
    harness.stop.set("the test stops it")
    thread.join(120)


def test_who_hears_of_a_whole_cluster_waits_for_no_node() -> None:
    """As soon as it is described nothing more is awaited: a start takes no longer for it."""
    harness = Harness()
    arriving: list[bool] = []
    harness.watcher._on_description = lambda: arriving.append(harness.watcher.arriving())
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: arriving, "the cluster is described")
    assert arriving == [False]
    harness.stop.set("the test stops it")
    thread.join(120)


def test_a_node_that_does_not_come_is_not_waited_for_longer_than_others() -> None:
    """Rainbow gets those that are there."""
    harness = Harness()
    harness.pool.nodes = changed(views(3), 2, up=False)
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: harness.watcher.description, "two are described")
    asker = Background(harness.watcher.graph_text)
    asker.start()
    assert harness.watcher.arriving()
    harness.clock.advance(ARRIVAL_PAUSE_S)
    asker.end()
    assert harness.nodes() == 2
    harness.stop.set("the test stops it")
    thread.join(120)


def test_another_instance_has_its_nodes_awaited(starting: Starting) -> None:
    """Flux was restarted under the agent: what is known of the nodes is from before."""
    assert not starting.are_up(3, of=3)
    starting.arrival.begin()
    starting.arrival.look(PoolView(tuple(some(1, of=3))), {0, 1, 2})
    assert starting.arrival.missing == ("blue-1", "blue-2")
    assert not starting.are_up(3, of=3)


def test_a_flux_that_is_back_has_its_nodes_awaited() -> None:
    """The lead is reached first; the graph that rainbow has stays until the others are there."""
    harness = Harness()
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: harness.watcher.description, "the first survey")
    eventually(lambda: not harness.watcher.arriving(), "all are there")
    harness.pool.error = WorkloadUnavailable("Flux is gone")
    harness.watcher.jobs_ended()
    eventually(lambda: harness.pool.closed, "it is not reached")
    harness.pool.nodes = changed(views(2), 1, up=False)
    harness.pool.error = None
    harness.watcher.jobs_ended()
    eventually(harness.watcher.arriving, "the other is awaited")
    harness.pool.nodes = views(2)
    eventually(lambda: not harness.watcher.arriving(), "it is there")
    harness.stop.set("the test stops it")
    thread.join(120)
