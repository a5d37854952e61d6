"""Rainbow on a real Kubernetes: its pod, its secret, and more than one cluster."""

from __future__ import annotations

import base64
import json

import pytest

from support.kubernetes_fleet import Fleet

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


def test_a_job_goes_where_it_fits(fleet: Fleet) -> None:
    """Of two clusters only one has enough nodes: rainbow selects it."""
    with fleet.minicluster("wide", 5) as wide, fleet.minicluster("narrow") as narrow:
        assert fleet.submit("", "five", "hostname", nodes=5) == "wide"
        wide.wait_for("five")
        assert narrow.jobs() == {}
        assert fleet.submit("narrow", "impossible", "hostname", nodes=5) == ""


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
