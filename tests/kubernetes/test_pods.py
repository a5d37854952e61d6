"""Pods that Kubernetes ends and starts: nothing that was accepted is lost or runs twice."""

from __future__ import annotations

import itertools
import json
from datetime import datetime

import pytest

from rainbow_agent.inventory.arrival import ARRIVAL_PAUSE_S
from support.kubernetes_fleet import Fleet, note
from support.kubernetes_load import OVER, Load
from support.kubernetes_minicluster import FLUX, MiniCluster, Pod

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]


def is_another(pod: Pod | None, old: Pod) -> bool:
    """Whether a pod runs, and is not the old one."""
    return pod is not None and pod.uid != old.uid


def test_it_starts(fleet: Fleet) -> None:
    """Rainbow has all nodes at once, where none is much later than the others; how long it took."""
    with fleet.minicluster("start", 3) as cluster:
        pods = {pod.index: fleet.kubectl.get("pod", pod.name) for pod in cluster.pods()}
        created = seconds(pods[0]["metadata"]["creationTimestamp"])
        (container,) = pods[0]["status"]["containerStatuses"]
        started = seconds(container["state"]["running"]["startedAt"])
        agent, graph = seconds(cluster.agent_since()), cluster.status()["graph"]
        online = came_up(cluster)
        gaps = [later - earlier for earlier, later in itertools.pairwise(online)]
        did = [line.get("action") for line in cluster.log_lines()]
        if max(gaps, default=0.0) < ARRIVAL_PAUSE_S / 2:
            assert did.count("registered") == 1
            assert "graph_changed" not in did
        note(
            "start",
            container_after_pod=started - created,
            lead_after_container=online[0] - started,
            agent_after_lead=agent - online[0],
            last_node_after_lead=online[-1] - online[0],
            registered_after_last_node=seconds(graph["sent"]) - max(online[-1], agent),
            registered_after_pod=seconds(graph["sent"]) - created,
            registrations=did.count("registered"),
        )


def came_up(cluster: MiniCluster) -> list[float]:
    """When each node of it came up, as Flux says, sorted."""
    command = f"{FLUX} flux resource eventlog --format=json"
    done = cluster.execute("bash", "-c", command)
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(entry["timestamp"] for entry in entries if entry["name"] == "online")


def seconds(time: str) -> float:
    """Of a time in the form of RFC 3339."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def test_the_kubelet_evicts_it(fleet: Fleet) -> None:
    """Memory is short on the node: its pods are ended without much ado, and others start.

    What ran is lost; what waits in rainbow runs.
    """
    requests = {"cpu": "50m", "memory": "1Mi"}  # it uses more, and so it goes first
    with fleet.minicluster("pressed", requests=requests) as cluster:
        assert fleet.submit("pressed", "runs", "sleep", "1000") == "pressed"
        cluster.wait_for("runs", "running")
        before, since = cluster.status()["registration"], cluster.agent_since()
        old = cluster.pod()
        assert old is not None
        memory = "memory.available"
        fleet.cluster.restart_kubelet(
            evictionSoft={memory: "1Ti"},
            evictionSoftGracePeriod={memory: "1s"},
            evictionMaxPodGracePeriod=1,
        )
        try:
            cluster.wait(lambda: was_evicted(fleet, old), "the lead is evicted")
        finally:
            fleet.cluster.restart_kubelet(evictionSoft={}, evictionSoftGracePeriod={})
        fleet.submit_until_taken("pressed", "waits", "true")
        cluster.wait(lambda: cluster.agent_since() not in ("", since), "another lead is there")
        cluster.wait_for("waits")
        assert cluster.state("runs") in ("lost", "failed")
        assert cluster.jobs()["runs"]["reason"]
        cluster.wait_for_nodes(2)
        assert cluster.keeps(before)


def was_evicted(fleet: Fleet, pod: Pod) -> bool:
    """Whether the kubelet ended it: it says so in the pod's status, which stays for a while."""
    found = fleet.kubectl.get("pod", pod.name)
    return bool(found) and found["status"].get("reason") == "Evicted"


@pytest.mark.together
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


@pytest.mark.together
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
        assert cluster.keeps(before)
        cluster.wait_for("meanwhile")
        assert cluster.state("first") == "completed"


@pytest.mark.together
def test_it_is_made_again_without_its_volumes(fleet: Fleet) -> None:
    """Rainbow gives a secret only once: the log says what to do, and the pod restarts."""
    with fleet.minicluster("bare") as cluster:
        cluster.delete(volumes=True)
        cluster.apply()
        sentence = "rainbow.default.svc.cluster.local:8080 has a cluster bare already"
        cluster.wait(lambda: sentence in cluster.log() + cluster.log("--previous"), "it says so")
        cluster.wait(lambda: sum(pod.restarts for pod in cluster.pods()), "it restarts")


@pytest.mark.together
def test_it_is_scaled(fleet: Fleet) -> None:
    """From four nodes to two and back, under load: rainbow follows, and no job is lost."""
    with fleet.minicluster("scaled", 4) as cluster:
        load = Load(fleet, cluster)
        load.start()
        cluster.wait(lambda: len(load.ran()) >= 2, "tasks have begun")
        cluster.apply(size=2)
        cluster.wait_for_nodes(2)
        cluster.apply(size=4)
        cluster.wait_for_nodes(4)
        load.finish()
        cluster.wait(load.is_over, "all jobs are over")
        assert max(load.ran().values()) == 1
        lost = {name for name, state in load.states().items() if state != "completed"}
        assert all(cluster.jobs()[name]["reason"] for name in lost)
        assert fleet.submit("scaled", "wide", "true", nodes=4) == "scaled"
        cluster.wait_for("wide")
