"""Two MiniClusters and rainbow in pods: they join, take jobs, and outlive their pods."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rainbow_agent.storage import drain_file
from support.minicluster import MiniCluster

pytestmark = [
    pytest.mark.minicluster,
    pytest.mark.flux,
    pytest.mark.rainbow,
    pytest.mark.timeout(300),
]
Wait = Callable[[Callable[[], object], str], None]


def status(cluster: MiniCluster) -> dict[str, Any]:
    """What `status -o json` says in the lead pod; empty while it says nothing."""
    if 0 not in cluster.pods or not cluster.lead.alive():
        return {}
    try:
        return dict(json.loads(cluster.agent("status", "-o", "json").stdout or "{}"))
    except ValueError:
        return {}


def nodes_sent(cluster: MiniCluster) -> int:
    """How many nodes rainbow knows."""
    view = status(cluster)
    return int(((view.get("graph") or {}).get("nodes") or 0) if view.get("registration") else 0)


def jobs(cluster: MiniCluster) -> dict[str, dict[str, Any]]:
    """The jobs of a cluster by name."""
    done = cluster.agent("jobs", "-o", "json")
    return {job["name"]: job for job in json.loads(done.stdout or "[]")}


def state(cluster: MiniCluster, name: str) -> str:
    """The state of a job, "" while it is not there."""
    return str(jobs(cluster).get(name, {}).get("state", ""))


def submit(cluster: MiniCluster, *arguments: str) -> str:
    """Submit from a cluster's lead pod; which cluster got it, "" if none did."""
    done = cluster.agent("submit", "-o", "json", *arguments)
    return "" if done.returncode else str(json.loads(done.stdout)["cluster"])


def install(cluster: MiniCluster, package: str) -> None:
    """Install a package in the lead pod."""
    cluster.lead.output("spack", "install", package)


def test_ranks_come_in_any_order(fleet: Any, patiently: Wait) -> None:
    """What is there is registered; who comes late joins the graph; who never comes is not in it."""
    blue = fleet.cluster("blue")
    blue.start(2, 0)
    patiently(lambda: nodes_sent(blue) == 2, "two nodes are registered")
    blue.start(1)
    patiently(lambda: nodes_sent(blue) == 3, "the late one joined")
    assert status(blue)["nodes"]["down"] == 1
    assert sorted(blue.flux("exec", "-r", "0-2", "hostname").split()) == [
        "blue-0",
        "blue-1",
        "blue-2",
    ]


def test_two_clusters_and_the_walk_through(fleet: Any, patiently: Wait) -> None:
    """A job goes where its package is; the walk-through's job runs in order, and ior is known."""
    blue, pink = fleet.cluster("blue"), fleet.cluster("pink")
    blue.start()
    pink.start()
    patiently(lambda: nodes_sent(blue) == 4 and nodes_sent(pink) == 2, "both are registered")
    install(pink, "lammps")
    folder = blue.state.parent / "blue-spack"
    wanted = needs("lammps", "only-pink")
    patiently(lambda: has_package(pink, "lammps"), "rainbow knows of lammps")
    assert submit(blue, spec(blue, wanted)) == "pink"
    patiently(lambda: state(pink, "only-pink") == "completed", "the job ran on pink")
    assert jobs(blue) == {}
    assert submit(blue, spec(blue, needs("ior", "early"))) == ""

    sent = {submit(blue, "/code/jobspec-spack.yaml")}
    (target,) = [each for each in (blue, pink) if each.name in sent]
    patiently(lambda: state(target, "spack-ior") == "completed", "the walk-through's job ran")
    tasks = {task["name"]: task for task in jobs(target)["spack-ior"]["tasks"]}
    assert tasks["ior"]["started"] >= tasks["build"]["finished"]
    assert tasks["ior"]["depends_on"] == ["build"]
    store = folder.with_name(f"{target.name}-spack")
    assert (store / "ran").read_text() == "ior ran -b 64m -O summaryFormat=json\n"
    patiently(lambda: has_package(target, "ior"), "rainbow knows of ior")
    assert submit(blue, spec(blue, needs("ior", "late"))) == target.name
    patiently(lambda: state(target, "late") == "completed", "a job that requires ior ran")


def needs(package: str, name: str) -> str:
    """A jobspec that requires a package."""
    return f"""\
version: 1
name: {name}
resources:
  one:
    type: node
    count: 1
    requires: [{{name: spack, field: {package}, min: "0.1"}}]
    with: [{{type: core, count: 1}}]
tasks:
- {{name: main, command: [hostname], resources: one}}
"""


def spec(cluster: MiniCluster, text: str) -> str:
    """The path, in the lead pod, of a jobspec file with this text."""
    (cluster.state / "spec.yaml").write_text(text)
    return "/var/lib/rainbow-agent/spec.yaml"


def has_package(cluster: MiniCluster, package: str) -> bool:
    """Whether what rainbow has of the cluster holds a package."""
    subsystem = cluster.state / "subsystem-spack.json"
    sent = ((status(cluster).get("graph") or {}).get("subsystems") or {}).get("spack") or {}
    return bool(sent.get("sent")) and subsystem.exists() and f'"{package}"' in subsystem.read_text()


def running_job(cluster: MiniCluster, patiently: Wait, seconds: str = "1000") -> None:
    """A job `long` that runs."""
    assert submit(cluster, "--name", "long", "--", "sleep", seconds) == cluster.name
    patiently(lambda: state(cluster, "long") == "running", "the job runs")


def test_the_lead_pod_is_killed_and_comes_back(fleet: Any, patiently: Wait) -> None:
    """With its volume the cluster keeps its secret and history, and keeps taking jobs."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    assert submit(pink, "--name", "first", "--", "true") == "pink"
    patiently(lambda: state(pink, "first") == "completed", "a job ran")
    running_job(pink, patiently)
    before = status(pink)
    pink.lead.kill()
    pink.start(0)
    patiently(lambda: (status(pink).get("nodes") or {}).get("up") == 2, "both nodes are back")
    # A cluster of one node, which it was for a moment, is none of rainbow's business.
    after = status(pink)
    assert (after["registration"], after["graph"]) == (before["registration"], before["graph"])
    assert state(pink, "first") == "completed"
    assert submit(pink, "--name", "after", "--", "true") == "pink"
    patiently(lambda: state(pink, "after") == "completed", "jobs run again")


def test_the_lead_pod_comes_back_without_its_volume(fleet: Any, patiently: Wait) -> None:
    """The secret went with the volume: the agent says what to do, and ends with 42."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    for pod in pink.pods.values():
        pod.kill()
    fleet.volumes.drop("pink-state")
    pink.start()
    patiently(lambda: not pink.lead.alive(), "the container ended")
    assert pink.lead.code() == 1  # `post: exit 1`: Kubernetes starts it again
    said = pink.lead.log()
    assert "pink" in said
    assert "restore it" in said


def test_a_worker_is_killed_while_it_runs_a_task(fleet: Any, patiently: Wait) -> None:
    """The task's job ends in a state with a reason; the pod comes back and is used again."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    job = needs("x", "two").replace('    requires: [{name: spack, field: x, min: "0.1"}]\n', "")
    job = job.replace("count: 1\n    with", "count: 2\n    with").replace(
        "[hostname]", "[sleep, 999]"
    )
    assert submit(pink, spec(pink, job)) == "pink"
    patiently(lambda: state(pink, "two") == "running", "it runs on both nodes")
    pink.pods[1].kill()
    patiently(lambda: state(pink, "two") in ("failed", "lost", "canceled"), "its job is over")
    assert jobs(pink)["two"]["reason"]
    pink.start(1)
    patiently(lambda: nodes_sent(pink) == 2, "the node is back")
    assert submit(pink, "--name", "again", "--nodes", "2", "--", "true") == "pink"
    patiently(lambda: state(pink, "again") == "completed", "both nodes are used again")


@pytest.mark.parametrize("keep", [True, False], ids=["with its volume", "without"])
def test_rainbows_pod_is_replaced(fleet: Any, patiently: Wait, keep: bool) -> None:
    """Rainbow is another pod with another address: the cluster is in it again, and takes jobs."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    before = status(pink)["registration"]
    fleet.rainbow.replace(keep_database=keep)
    patiently(lambda: submit(pink, "--name", "after", "--", "true") == "pink", "it takes jobs")
    patiently(lambda: state(pink, "after") == "completed", "the job ran")
    assert (status(pink)["registration"] == before) is keep


def test_an_agent_that_dies_takes_nothing_with_it(fleet: Any, patiently: Wait) -> None:
    """SIGKILL of the agent: it starts again in the same Flux instance, whose jobs went on."""
    pink = fleet.cluster("pink")
    pink.start(POD_RESTART_SECONDS="1")
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    running_job(pink, patiently)
    first = status(pink)["daemon"]["pid"]
    pink.lead.output("kill", "-KILL", str(first))
    patiently(lambda: (status(pink).get("daemon") or {}).get("pid") not in (None, first), "again")
    assert state(pink, "long") == "running"
    assert pink.flux("jobs", "-no", "{state}").split() == ["RUN"]


def test_a_pod_that_is_stopped_drains(fleet: Any, patiently: Wait) -> None:
    """A short job comes to its end within 30 s, and the pod after it takes jobs again."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    running_job(pink, patiently, "5")
    begun = time.monotonic()
    code = pink.lead.terminate(pre_stop=pink.pre_stop)
    assert time.monotonic() - begun < 30
    assert code == 1  # not 0, which Kubernetes takes for "done"
    pink.start(0)
    patiently(lambda: nodes_sent(pink) == 2, "it is back")
    assert state(pink, "long") == "completed"
    assert submit(pink, "--name", "after", "--", "true") == "pink"
    patiently(lambda: state(pink, "after") == "completed", "it takes jobs again")


def test_the_next_lead_pod_starts_while_the_old_one_stops(fleet: Any, patiently: Wait) -> None:
    """As in Kubernetes: it waits; what came meanwhile waited in rainbow, and runs once, with it."""
    pink = fleet.cluster("pink")
    pink.start(POD_DRAIN_SECONDS="150")
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    gate = "while [ ! -e /var/lib/rainbow-agent/gate ]; do sleep 0.1; done"
    assert submit(pink, "--name", "long", "--", "sh", "-c", gate) == "pink"
    patiently(lambda: state(pink, "long") == "running", "the job runs")
    old, names = pink.lead, ("one", "two", "three", "four")
    with ThreadPoolExecutor(1) as kubelet:
        ended = kubelet.submit(old.terminate, pre_stop=pink.pre_stop, grace=200)
        patiently(lambda: drain_file.read_drain(pink.state), "the old one drains")
        pink.start(0)
        patiently(lambda: "waiting for it" in pink.lead.log(), "the new one waits")
        for name in names:
            append = ["sh", "-c", f"echo {name} >> /var/lib/rainbow-agent/ran"]
            assert submit(pink, "--name", name, "--", *append) == "pink"
        assert jobs(pink).keys() == {"long"}
        (pink.state / "gate").touch()
        assert ended.result() == 1
    patiently(lambda: all(state(pink, name) == "completed" for name in names), "all ran")
    assert sorted((pink.state / "ran").read_text().split()) == sorted(names)
    assert state(pink, "long") == "completed"
    assert drain_file.read_drain(pink.state) is None
    assert pink.lead.alive()


def test_a_worker_pod_that_is_stopped_drains_nobody(fleet: Any, patiently: Wait) -> None:
    """The hook runs in every pod and every pod has the volume: only the lead's does something."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    pink.pods[1].output(pink.pre_stop)
    assert drain_file.read_drain(pink.state) is None


def test_a_worker_pod_that_is_deleted_ends_at_once(fleet: Any, patiently: Wait) -> None:
    """It need not be killed, its container would start again, and its node leaves the graph."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    assert pink.pods[1].terminate(pre_stop=pink.pre_stop, grace=90) == 1
    patiently(lambda: nodes_sent(pink) == 1, "the node left")
    pink.start(1)
    patiently(lambda: nodes_sent(pink) == 2, "the node is back")


def test_a_cluster_is_removed(fleet: Any, patiently: Wait) -> None:
    """A pod with its volume takes it out of rainbow, and ends with 0; again, that is no error."""
    pink = fleet.cluster("pink")
    pink.start()
    patiently(lambda: nodes_sent(pink) == 2, "it is registered")
    for pod in pink.pods.values():
        pod.kill()
    for said in ("no longer registered", "nothing to do"):
        leaving = fleet.cluster("pink", deregister=True)
        leaving.start()
        patiently(lambda: not leaving.lead.alive(), "the container ended")  # noqa: B023
        assert leaving.lead.code() == 0, leaving.lead.log()
        assert said in leaving.lead.log()
        leaving.lead.kill()


def test_an_interactive_cluster(fleet: Any, patiently: Wait) -> None:
    """The agent waits beside the broker for its socket, registers, and takes jobs."""
    teal = fleet.cluster("teal")
    teal.start(0, 1)
    patiently(lambda: nodes_sent(teal) == 2, "it is registered")
    assert submit(teal, "--name", "plain", "--", "true") == "teal"
    patiently(lambda: state(teal, "plain") == "completed", "a job ran")


def test_an_image_with_its_own_flux(fleet: Any, patiently: Wait) -> None:
    """Without a view PATH and PYTHONPATH stay, and the agent finds the image's Flux."""
    plum = fleet.cluster("plum")
    flux = (fleet.view / "bin/flux").readlink().parent
    path = f"/opt/spack/bin:{flux}:/usr/local/bin:/usr/bin:/bin"
    plum.start(PATH=path)
    patiently(lambda: nodes_sent(plum) == 2, "it is registered")
    assert status(plum)["workload"]["kind"] == "flux"
