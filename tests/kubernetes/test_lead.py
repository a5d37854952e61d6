"""The lead pod is replaced under load: nothing that was accepted is lost or runs twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from support.kubernetes_fleet import Fleet, note
from support.kubernetes_load import COUNT, OVER, Load
from support.kubernetes_minicluster import MiniCluster, Pod, wait_for_pods

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

#: How many of the jobs have begun when the lead is deleted.
BEGUN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]
#: Seconds that jobs take that run when the lead is deleted: one is not over before the stop is.
LONG = [4, 8, 12, 1000]


def replaced(cluster: MiniCluster, since: str) -> bool:
    """Whether another agent runs than the one that was started then."""
    return cluster.agent_since() not in ("", since)


@pytest.mark.together
@pytest.mark.parametrize("begun", BEGUN)
def test_it_is_deleted(fleet: Fleet, begun: int) -> None:
    """It stops, and the next has all jobs: each ran once, and completed."""
    with fleet.minicluster(f"lead-{begun}") as cluster:
        is_replaced(fleet, cluster, begun, cluster.delete_pod)


@pytest.mark.together
def test_it_is_evicted(fleet: Fleet) -> None:
    """By the API server, as when a node is drained: that is a deletion."""
    with fleet.minicluster("evicted") as cluster:
        is_replaced(fleet, cluster, 3, cluster.evict_pod)


def is_replaced(
    fleet: Fleet, cluster: MiniCluster, begun: int, remove: Callable[[], object]
) -> None:
    """Remove the lead when so many jobs have begun, and see that all complete."""
    registration = cluster.status()["registration"]
    load = Load(fleet, cluster)
    load.start()
    cluster.wait(lambda: len(load.ran()) >= begun, f"{begun} tasks have begun")
    since, begin = cluster.agent_since(), time.monotonic()
    remove()
    cluster.wait(lambda: replaced(cluster, since), "another lead is there")
    took = time.monotonic() - begin
    load.finish()
    cluster.wait(load.is_over, "all jobs are over")
    assert Counter(load.states().values()) == {"completed": COUNT}
    assert load.ran() == dict.fromkeys(load.names, 1)
    cluster.wait_for_nodes(2)
    assert cluster.keeps(registration)
    note(cluster.name, seconds=round(took, 1), jobs=COUNT, lost=0)


class Stop:
    """The stop of a lead pod, which is deleted while jobs run."""

    def __init__(self, fleet: Fleet, cluster: MiniCluster) -> None:
        self._fleet = fleet
        self._cluster = cluster
        self.since = cluster.agent_since()
        self.old = cluster.delete_pod()

    def document(self) -> dict[str, object] | None:
        """The old pod; None when it is gone."""
        found = self._fleet.cluster.api.pod(self.old.name)
        return found if found and found["metadata"]["uid"] == self.old.uid else None

    def others(self) -> list[Pod]:
        """Pods that take its place."""
        pods = self._cluster.pods()
        return [pod for pod in pods if pod.index == 0 and pod.uid != self.old.uid]

    def log(self) -> str:
        """Of the old pod."""
        return self._fleet.cluster.api.log(self.old.name)

    def drained(self) -> bool:
        """Whether its agent takes no more jobs."""
        return (self._cluster.volume("state") / "drain-stop.json").exists()

    def ended(self) -> int:
        """How many of the long tasks are over."""
        path = self._cluster.volume("spack") / "ended"
        return len(path.read_text().split()) if path.exists() else 0


#: Moments of a stop, in this order, and what is seen at each.
STOP: dict[str, Callable[[Stop], object]] = {
    "asked": lambda _: True,
    "drained": Stop.drained,
    "one-ended": lambda stop: stop.ended() >= 1,
    "two-ended": lambda stop: stop.ended() >= 2,
    "three-ended": lambda stop: stop.ended() >= 3,
    "next-made": Stop.others,
    "next-waits": lambda stop: any(pod.ready for pod in stop.others()),
    "stopping": lambda stop: '"action": "stopping"' in stop.log(),
    "stopped": lambda stop: '"action": "stopped"' in stop.log(),
    "gone": lambda stop: stop.document() is None,
}


@pytest.mark.together
@pytest.mark.parametrize("moment", STOP)
def test_it_is_killed_while_it_stops(fleet: Fleet, moment: str) -> None:
    """At a moment of its stop. What did not run in it is not lost, and nothing runs twice."""
    with fleet.minicluster(f"stop-{moment}") as cluster:
        long = [f"long-{seconds}" for seconds in LONG]
        for name, seconds in zip(long, LONG, strict=True):
            task = f"echo {name} >>ran; sleep {seconds}; echo {name} >>ended"
            script = f"cd /opt/spack-store; {task}"
            assert fleet.submit(cluster.name, name, "sh", "-c", script) == cluster.name
        load = Load(fleet, cluster, 6)
        cluster.wait(lambda: len(load.ran()) == len(long), "the long tasks have begun")
        stop = Stop(fleet, cluster)
        load.start()
        wait_for_pods(lambda: STOP[moment](stop) or not stop.document(), f"{moment} of the stop")
        hit = stop.document() is not None
        fleet.cluster.kill_container(stop.old.container)
        cluster.wait(lambda: replaced(cluster, stop.since), "another lead is there")
        load.finish()
        cluster.wait(lambda: load.is_over() and over(cluster, long), "all jobs are over")
        jobs = cluster.jobs()
        assert set(load.states().values()) == {"completed"}
        assert {jobs[name]["state"] for name in long} <= {"completed", "failed", "lost"}
        assert jobs[long[-1]]["state"] != "completed"
        assert load.ran() == dict.fromkeys([*load.names, *long], 1)
        ended = sum(jobs[name]["state"] == "completed" for name in long)
        note(cluster.name, hit=hit, waiting_jobs_lost=0, running=len(long), completed=ended)


def over(cluster: MiniCluster, names: list[str]) -> bool:
    """Whether nothing of these jobs is left to do."""
    jobs = cluster.jobs()
    return all(jobs.get(name, {}).get("state") in OVER for name in names)


@pytest.mark.together
def test_it_is_gone_at_once(fleet: Fleet) -> None:
    """Without a hook: what ran is lost, and said to be; the others run, and nothing runs twice."""
    with fleet.minicluster("gone") as cluster:
        load = Load(fleet, cluster)
        load.start()
        cluster.wait(lambda: len(load.ran()) >= 5, "tasks have begun")
        since = cluster.agent_since()
        cluster.delete_pod(force=True)
        cluster.wait(lambda: replaced(cluster, since), "another lead is there")
        load.finish()
        cluster.wait(load.is_over, "all jobs are over")
        states = load.states()
        assert set(states.values()) <= {"completed", "lost"}
        assert max(load.ran().values()) == 1
        assert {name for name, state in states.items() if state == "completed"} <= set(load.ran())
