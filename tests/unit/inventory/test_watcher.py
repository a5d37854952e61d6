"""The thread that watches the cluster: a portrait at the start, another when something settled."""

from __future__ import annotations

import threading

import pytest

from rainbow_agent.core.errors import Fatal, NotDescribed, WorkloadUnavailable
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.inventory.obstacle_watch import OBSTACLE_INTERVAL_S
from rainbow_agent.inventory.survey import NodeAnswer
from rainbow_agent.runtime.loops import MAX_TURN_S
from support.common import Background, eventually
from support.node_watcher import Harness
from support.nodes import changed, views


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_the_first_look_makes_a_portrait_at_once(harness: Harness) -> None:
    """The main loop is woken, and the files are written."""
    harness.watcher.tick()
    assert harness.nodes() == 2
    assert harness.files == [harness.watcher.description]
    assert harness.rings == 1
    assert harness.watcher.memory_per_node() == 8 * 2**30


def test_an_idle_cluster_is_only_looked_at(harness: Harness) -> None:
    """Jobs that come and go are no reason for another portrait."""
    harness.watcher.tick()
    for _ in range(10):
        harness.clock.advance(5)
        harness.pool.nodes = changed(views(2), 0, cores_free=0)
        harness.watcher.tick()
    assert harness.ranks.asked == [[0, 1]]
    assert harness.rings == 1


def test_a_node_that_goes_counts_when_it_is_quiet(harness: Harness) -> None:
    """Not at once: the others of its rack may follow."""
    harness.watcher.tick()
    harness.clock.advance(5)
    harness.pool.nodes = changed(views(2), 1, up=False)
    harness.watcher.tick()
    assert harness.nodes() == 2
    harness.clock.advance(2)
    harness.watcher.tick()
    assert harness.nodes() == 1
    harness.pool.nodes = views(2)
    harness.watcher.tick()
    harness.clock.advance(2)
    harness.watcher.tick()
    assert harness.nodes() == 2


def test_new_software_has_every_node_asked_again(harness: Harness) -> None:
    """After the last of many writes; whether by an event or found by looking."""
    harness.watcher.tick()
    harness.software.other = True
    harness.ranks.packages = ("ior@3.3.0",)
    for _ in range(3):
        harness.clock.advance(1)
        harness.software.other = True
        harness.watcher.tick()
    assert len(harness.ranks.asked) == 1
    harness.clock.advance(2)
    harness.watcher.tick()
    assert harness.ranks.asked == [[0, 1], [0, 1]]
    assert harness.watcher.description is not None
    assert "spack" in {part.name for part in harness.watcher.description.subsystems}


def test_a_change_that_changes_nothing_makes_no_portrait(harness: Harness) -> None:
    """A database that was written again with the same content."""
    harness.watcher.tick()
    harness.software.other = True
    harness.watcher.tick()
    harness.clock.advance(2)
    harness.watcher.tick()
    assert (len(harness.ranks.asked), harness.rings) == (2, 1)


def test_what_a_job_installed_on_another_node_is_found(harness: Harness) -> None:
    """Looked for after jobs ended, and not all the time; only that node is asked again."""
    harness.watcher.tick()
    looks = harness.ranks.stamp_looks
    harness.clock.advance(100)
    harness.watcher.tick()
    assert harness.ranks.stamp_looks == looks, "no job ended"
    harness.watcher.jobs_ended()
    harness.watcher.tick()
    harness.ranks.stamped[1] = "another"
    harness.watcher.jobs_ended()
    harness.watcher.tick()
    assert harness.ranks.stamp_looks == looks + 1, "too soon after the last look"
    harness.clock.advance(10)
    harness.watcher.tick()
    harness.clock.advance(2)
    harness.watcher.tick()
    assert harness.ranks.asked == [[0, 1], [1]]


def test_a_silent_node_comes_in_when_it_answers(harness: Harness) -> None:
    """It is asked again by itself, without any other change."""
    harness.ranks.answers[1] = NodeAnswer(1, problem="no answer", silent=True)
    harness.watcher.tick()
    assert harness.nodes() == 1
    (silent,) = harness.telemetry.conditions.current()
    assert silent.name == "nodes-silent"
    assert "no description of 1 node (blue-1): no answer" in silent.reason
    del harness.ranks.answers[1]
    harness.clock.advance(60)
    harness.watcher.tick()
    assert harness.nodes() == 2
    assert harness.telemetry.conditions.current() == []


def test_who_waits_for_the_first_survey_does_not_beat_for_this_loop(harness: Harness) -> None:
    """Or a node watcher that is stuck would look alive for as long as somebody waits for it."""
    waits = harness.telemetry.loop("main", harness.stop)

    def ask() -> None:
        with pytest.raises(NotDescribed):
            harness.watcher.graph_text(waits)

    asker = Background(ask)
    asker.start()
    harness.clock.advance(MAX_TURN_S + 1)
    eventually(
        lambda: harness.telemetry.loop_health.stuck() == ["lookout"], "only the one who waits moves"
    )
    harness.stop.set("the test is over")
    asker.end()


def test_a_workload_manager_that_is_away_is_a_reason_not_a_wait(harness: Harness) -> None:
    """The registration gets the reason; the last description is kept when there is one."""
    harness.pool.error = WorkloadUnavailable("Flux is gone")
    harness.watcher.tick()
    with pytest.raises(WorkloadUnavailable, match="Flux is gone"):
        harness.watcher.graph_text()
    assert (harness.pool.opened, harness.pool.closed) == (1, 1)
    harness.pool.error = None
    harness.watcher.tick()
    assert harness.watcher.graph_text()
    harness.pool.error = WorkloadUnavailable("Flux is gone")
    harness.watcher.tick()
    assert harness.watcher.graph_text()


def test_a_cluster_without_a_node_is_a_reason_too(harness: Harness) -> None:
    """It is registered when one comes."""
    harness.pool.nodes = changed(views(1), 0, up=False)
    harness.watcher.tick()
    with pytest.raises(NotDescribed, match="no node"):
        harness.watcher.graph_text()


def test_the_thread_ends_with_the_stop(harness: Harness) -> None:
    """And closes what it opened; what waited for the first survey gets an error."""
    harness.ranks.answers[0] = NodeAnswer(0, problem="x")
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: harness.watcher.description, "the first survey")
    harness.stop.set("the test stops it")
    thread.join(120)
    assert not thread.is_alive()
    assert harness.software.stopped
    assert harness.pool.closed == 1


def test_news_wake_the_thread(harness: Harness) -> None:
    """It does not wait for its next look."""
    thread = threading.Thread(target=harness.watcher.run, daemon=True)
    thread.start()
    eventually(lambda: harness.watcher.description, "the first survey")
    harness.ranks.packages = ("ior@3.3.0",)
    assert harness.software.changed is not None
    harness.software.changed()
    eventually(harness.watcher._settle.left, "it waits for quiet")
    eventually(lambda: harness.watcher._settle.left() <= 2.0, "it was woken")
    harness.clock.advance(2)
    eventually(lambda: len(harness.ranks.asked) == 2, "the nodes are asked again")
    harness.stop.set("the test stops it")
    thread.join(120)


def test_a_flux_that_can_never_be_reached_ends_the_thread(harness: Harness) -> None:
    """The daemon ends with its reason."""
    harness.pool.error = Fatal("Flux's bindings are not installed")
    with pytest.raises(Fatal, match="not installed"):
        harness.watcher.run()
    assert harness.software.stopped


def test_once_is_for_a_command_that_registers_and_ends(harness: Harness) -> None:
    """One survey, no thread; the connection is closed."""
    with harness.watcher.once():
        assert harness.watcher.graph_text()
    assert harness.pool.closed == 1
    harness.pool.error = WorkloadUnavailable("Flux is gone")
    with pytest.raises(WorkloadUnavailable), Harness().watcher.once(), harness.watcher.once():
        pytest.fail("it was not raised")


def test_status_names_those_that_are_not_as_they_should_be(harness: Harness) -> None:
    """Counts of each condition, then names with reasons."""
    assert harness.watcher.facts() == {"nodes": None}
    harness.ranks.answers[1] = NodeAnswer(1, problem="no answer", silent=True)
    harness.pool.nodes = changed(changed(views(5), 2, up=False), 3, up=False, drained=True)
    harness.watcher.tick()
    facts = harness.watcher.facts()["nodes"]
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


def test_what_the_workload_manager_gives_and_the_node_does_not_have_is_warned_of(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names both, once for all nodes of a kind; the status names the nodes."""
    harness.pool.nodes = views(3, cores=8, gpus=2)
    harness.watcher.tick()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    (cores,) = (text for text in warnings if "gives cores 0-7" in text)
    assert "3 nodes (blue-0, blue-1, blue-2)" in cores
    assert "has 4 (0-3)" in cores
    facts = harness.watcher.facts()["nodes"]
    assert facts is not None
    assert all(
        "gives 2 GPUs, the node says that it has 0" in t["problem"] for t in facts["troubled"]
    )
    assert len(facts["troubled"]) == 3
    before = len(caplog.records)
    harness.pool.nodes = changed(harness.pool.nodes, 2, up=False)
    harness.watcher.tick()
    assert not any("gives cores" in r.getMessage() for r in caplog.records[before:])


@pytest.mark.parametrize("kind", [k for k in ObstacleKind if k is not ObstacleKind.REFUSES_ALL])
def test_what_keeps_jobs_from_starting_is_a_condition(harness: Harness, kind: ObstacleKind) -> None:
    """In the words of who stopped the queue; it is over when the workload manager says so."""
    harness.pool.found = [Obstacle(kind, reason="maintenance until noon")]
    harness.watcher.tick()
    (trouble,) = harness.telemetry.conditions.current()
    assert trouble.name == kind.value
    assert trouble.reason == str(harness.pool.found[0])
    harness.pool.found = []
    harness.watcher.tick()
    assert harness.telemetry.conditions.current(), "it was not asked again yet"
    harness.clock.advance(OBSTACLE_INTERVAL_S)
    harness.watcher.tick()
    assert harness.telemetry.conditions.current() == []


def test_a_queue_that_our_jobs_do_not_go_to_is_no_condition(harness: Harness) -> None:
    """Only jobs that name it wait for it."""
    harness.pool.found = [Obstacle(ObstacleKind.QUEUE_STOPPED, "debug", default=False)]
    harness.watcher.tick()
    assert harness.telemetry.conditions.current() == []


def test_what_keeps_jobs_is_asked_for_now_and_then(harness: Harness) -> None:
    """Not with each look at the nodes; a workload manager that is gone changes nothing known."""
    harness.pool.found = [Obstacle(ObstacleKind.NO_SCHEDULER)]
    for _ in range(8):
        harness.watcher.tick()
        harness.clock.advance(OBSTACLE_INTERVAL_S / 4)
    assert harness.pool.questions == 2
    harness.pool.error = WorkloadUnavailable("Flux is gone")
    harness.clock.advance(OBSTACLE_INTERVAL_S)
    harness.watcher.tick()
    assert [c.name for c in harness.telemetry.conditions.current()] == ["no-scheduler"]
