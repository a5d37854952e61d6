"""Pods that Kubernetes ends and starts: nothing that was accepted is lost or runs twice."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from support.kubernetes_fleet import Fleet
from support.kubernetes_load import Load
from support.kubernetes_minicluster import MiniCluster, Pod
from support.kubernetes_programs import CACHE

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

#: Jobs; the sender takes about as long for them as a lead pod takes to stop and to come back.
COUNT = 24
#: How many of them have begun when the lead is deleted.
MOMENTS = [0, 1, 2, 3, 5, 7, 9, 12, 16, 20]
OVER = {"completed", "failed", "canceled", "refused", "lost"}


def replaced(cluster: MiniCluster, since: str) -> bool:
    """Whether another agent runs than the one that was started then."""
    return cluster.agent_since() not in ("", since)


def is_another(pod: Pod | None, old: Pod) -> bool:
    """Whether a pod runs, and is not the old one."""
    return pod is not None and pod.uid != old.uid


def all_over(load: Load) -> bool:
    """Whether the cluster knows every job, and none is left to do."""
    states = load.states()
    return len(states) == len(load.names) and set(states.values()) <= OVER


@pytest.mark.parametrize("begun", MOMENTS)
def test_the_lead_is_deleted_under_load(fleet: Fleet, begun: int) -> None:
    """It stops while jobs come; the next one has them all: each task ran once, and completed."""
    with fleet.minicluster(f"lead-{begun}") as cluster:
        registration = cluster.status()["registration"]
        load = Load(fleet, cluster, COUNT)
        load.start()
        cluster.wait(lambda: len(load.ran()) >= begun, f"{begun} tasks have begun")
        since, begin = cluster.agent_since(), time.monotonic()
        cluster.delete_pod()
        cluster.wait(lambda: replaced(cluster, since), "another lead is there")
        took = time.monotonic() - begin
        load.finish()
        cluster.wait(lambda: all_over(load), "all jobs are over")
        assert Counter(load.states().values()) == {"completed": COUNT}
        assert load.ran() == dict.fromkeys(load.names, 1)
        assert cluster.status()["registration"] == registration
        cluster.wait_for_nodes(2)
        note(f"lead-{begun}", seconds=round(took, 1), jobs=COUNT, lost=0)


def test_the_lead_is_gone_at_once_under_load(fleet: Fleet) -> None:
    """Without a hook: what ran is lost, and said to be; the others run, and nothing runs twice."""
    with fleet.minicluster("gone") as cluster:
        load = Load(fleet, cluster, COUNT)
        load.start()
        cluster.wait(lambda: len(load.ran()) >= 5, "tasks have begun")
        since = cluster.agent_since()
        cluster.delete_pod(force=True)
        cluster.wait(lambda: replaced(cluster, since), "another lead is there")
        load.finish()
        cluster.wait(lambda: all_over(load), "all jobs are over")
        states = load.states()
        assert set(states.values()) <= {"completed", "lost"}
        assert max(load.ran().values()) == 1
        assert {name for name, state in states.items() if state == "completed"} <= set(load.ran())


def test_a_worker_is_deleted(fleet: Fleet) -> None:
    """What ran on it is over, with a reason; the next one is used again."""
    with fleet.minicluster("worker") as cluster:
        assert fleet.submit("worker", "both", "sleep", "1000", nodes=2) == "worker"
        cluster.wait_for("both", "running")
        old = cluster.delete_pod(1)
        cluster.wait(lambda: cluster.state("both") in OVER, "its job is over")
        assert cluster.jobs()["both"]["reason"]
        cluster.wait(lambda: is_another(cluster.pod(1), old), "another worker is there")
        cluster.wait_for_nodes(2)
        assert fleet.submit("worker", "again", "true", nodes=2) == "worker"
        cluster.wait_for("again")


def test_it_is_deleted_and_made_again_with_its_volumes(fleet: Fleet) -> None:
    """The registration, the history and what was not finished are as they were."""
    with fleet.minicluster("again") as cluster:
        before = cluster.status()["registration"]
        assert fleet.submit("again", "first", "true") == "again"
        cluster.wait_for("first")
        cluster.delete()
        assert fleet.submit("again", "meanwhile", "true") == "again"
        cluster.apply()
        cluster.wait_for_nodes(2)
        assert cluster.status()["registration"] == before
        cluster.wait_for("meanwhile")
        assert cluster.state("first") == "completed"


def test_it_is_made_again_without_its_volumes(fleet: Fleet) -> None:
    """Rainbow gives a secret only once: the log says what to do, and the pod restarts."""
    with fleet.minicluster("bare") as cluster:
        cluster.delete(volumes=True)
        cluster.apply()
        sentence = "rainbow.default.svc.cluster.local:8080 has a cluster bare already"
        cluster.wait(lambda: sentence in cluster.log() + cluster.log("--previous"), "it says so")
        cluster.wait(lambda: sum(pod.restarts for pod in cluster.pods()), "it restarts")


def test_it_is_scaled(fleet: Fleet) -> None:
    """From four nodes to two and back, under load: rainbow follows, and no job is lost."""
    with fleet.minicluster("scaled", 4) as cluster:
        load = Load(fleet, cluster, COUNT)
        load.start()
        cluster.wait(lambda: len(load.ran()) >= 2, "tasks have begun")
        cluster.apply(size=2)
        cluster.wait_for_nodes(2)
        cluster.apply(size=4)
        cluster.wait_for_nodes(4)
        load.finish()
        cluster.wait(lambda: all_over(load), "all jobs are over")
        assert max(load.ran().values()) == 1
        lost = {name for name, state in load.states().items() if state != "completed"}
        assert all(cluster.jobs()[name]["reason"] for name in lost)
        assert fleet.submit("scaled", "wide", "true", nodes=4) == "scaled"
        cluster.wait_for("wide")


def note(what: str, **figures: object) -> None:
    """Keep figures for people: build/kubernetes/figures.jsonl."""
    with (CACHE / "figures.jsonl").open("a") as file:
        file.write(json.dumps({"what": what, **figures}) + "\n")
