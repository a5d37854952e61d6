"""Rainbow on a real Kubernetes: its pod, its secret, and more than one cluster."""

from __future__ import annotations

import base64
import json

import pytest

from support.kubernetes_fleet import Fleet
from support.kubernetes_policy import enforced, selected
from support.kubernetes_programs import OPERATOR, operator_role

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

RAINBOW = "app.kubernetes.io/name=rainbow"


def test_rainbows_pod_is_deleted(fleet: Fleet) -> None:
    """It comes back with its database; the cluster sends its graph again, and takes jobs."""
    with fleet.minicluster("calm") as cluster:
        before = cluster.status()["registration"]
        fleet.kubectl.output("delete", "pod", "-l", RAINBOW)
        fleet.wait_for_rainbow()
        fleet.submit_until_taken("calm", "after", "true")
        cluster.wait_for("after")
        assert cluster.status()["registration"] == before


def test_the_secret_is_rotated(fleet: Fleet) -> None:
    """Who is registered stays; who registers later needs the new one, and has it."""
    with fleet.minicluster("early") as early:
        rotate(fleet, "a-new-secret-of-the-tests")
        fleet.submit_until_taken("early", "after", "true")
        early.wait_for("after")
        with fleet.minicluster("late") as late:
            assert fleet.submit("late", "first", "true") == "late"
            late.wait_for("first")


def rotate(fleet: Fleet, secret: str) -> None:
    """As the walk-through says: change the Secret, and restart the scheduler."""
    text = base64.b64encode(secret.encode()).decode()
    patch = json.dumps({"data": {"secret": text}})
    fleet.kubectl.output("patch", "secret", "rainbow", "--patch", patch)
    fleet.kubectl.output("rollout", "restart", "deployment/scheduler")
    fleet.wait_for_rainbow()


@pytest.mark.together
def test_a_job_goes_where_it_fits(fleet: Fleet) -> None:
    """Of two clusters only one has enough nodes: rainbow selects it."""
    with fleet.minicluster("wide", 5) as wide, fleet.minicluster("narrow") as narrow:
        assert fleet.submit("", "five", "hostname", nodes=5) == "wide"
        wide.wait_for("five")
        assert narrow.agent_since()
        assert narrow.jobs() == {}
        assert fleet.submit("narrow", "impossible", "hostname", nodes=5) == ""


@pytest.mark.together
def test_the_network_policy_is_about_these_pods(fleet: Fleet) -> None:
    """It protects rainbow's pod, and lets in those of a MiniCluster; no engine enforces it here."""
    policy = fleet.kubectl.get("networkpolicy", "rainbow")["spec"]
    (protected,) = selected(fleet.cluster, policy["podSelector"])
    assert protected.startswith("scheduler-")
    (members,) = (
        peer["podSelector"] for peer in policy["ingress"][0]["from"] if "podSelector" in peer
    )
    with fleet.minicluster("member") as cluster:
        names = {pod.name for pod in cluster.pods()}
        inside = selected(fleet.cluster, members).keys()
        assert names | {"sender"} <= inside
        assert protected not in inside


def test_the_network_policy_keeps_others_out(fleet: Fleet) -> None:
    """Where it is in force: members reach rainbow, nobody else does, and rainbow reaches nobody."""
    policy = fleet.kubectl.get("networkpolicy", "rainbow")["spec"]
    server = "rainbow.default.svc.cluster.local:8080"
    api = "10.96.0.1:443"
    with fleet.other_pod("stranger"):
        assert reaches(fleet, "pod/stranger", server)
        assert reaches(fleet, "deployment/scheduler", api)
        with enforced(fleet.cluster, policy):
            assert reaches(fleet, "pod/sender", server)
            assert not reaches(fleet, "pod/stranger", server)
            assert reaches(fleet, "pod/stranger", api)
            assert not reaches(fleet, "deployment/scheduler", api)
        assert reaches(fleet, "pod/stranger", server)


def reaches(fleet: Fleet, pod: str, address: str) -> bool:
    """Whether a pod gets a connection to an address."""
    script = (
        "import socket, sys; host, port = sys.argv[1].split(':');"
        " socket.create_connection((host, int(port)), 10)"
    )
    done = fleet.kubectl.run("exec", pod, "--", "python3", "-c", script, address)
    assert done.returncode == 0 or "timed out" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.together
def test_the_operators_own_role_is_enough(fleet: Fleet) -> None:
    """It is an account that has this role alone, and it was refused nothing."""
    if not operator_role().is_file():
        pytest.skip("NO ROLE: name the definition in the operator's source tree (MINICLUSTER_CRD)")
    account = f"--as=system:serviceaccount:default:{OPERATOR}"
    ask = ("auth", "can-i", account)
    assert fleet.kubectl.run(*ask, "create", "miniclusters").stdout.strip() == "yes"
    assert fleet.kubectl.run(*ask, "create", "deployments").stdout.strip() == "no"
    with fleet.minicluster("allowed"):
        pass
    log = fleet.cluster.node.log(OPERATOR, last=10_000_000)
    assert "Starting workers" in log
    assert "forbidden" not in log


@pytest.mark.together
def test_metrics_and_probes_are_there_for_pods(fleet: Fleet) -> None:
    """A pod of somebody else's reads them through the pods' network."""
    with fleet.minicluster("seen") as cluster:
        pod = cluster.pod()
        assert pod is not None
        address = fleet.kubectl.get("pod", pod.name)["status"]["podIP"]
        script = (
            "import sys, urllib.request as r;"
            " [print(r.urlopen(f'http://{sys.argv[1]}:8788/{p}').read().decode())"
            " for p in ('livez', 'readyz', 'metrics')]"
        )
        said = fleet.kubectl.output("exec", "sender", "--", "python3", "-c", script, address)
        assert "rainbow_agent_nodes" in said
