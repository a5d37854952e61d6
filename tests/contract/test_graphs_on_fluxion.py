"""Graphs in the form for Fluxion are loaded by the real one: its module, and `resource-query`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.flux import NO_FLUX, NO_FLUXION, flux_command, fluxion_environ, private_flux

#: Of flux-sched's build folder; it is not installed.
QUERY = os.environ.get("RESOURCE_QUERY") or shutil.which("resource-query")
MADE_UP = "nodes=4,sockets=2,cores=8,gpus=2,packages=3"

pytestmark = pytest.mark.flux


def create(path: Path, *words: str) -> dict[str, Any]:
    """What `rainbow-compspec create` writes."""
    program = Path(sys.executable).with_name("rainbow-compspec")
    words = (*words, "--cluster-name=blue", f"--simulate={MADE_UP}", "--format=fluxion")
    subprocess.run([program, "create", *words, f"--nodes-output={path}"], check=True)
    graph: dict[str, Any] = json.loads(path.read_text())
    return graph


def matched(graph: Path, request: dict[str, Any]) -> str:
    """What resource-query matches."""
    if QUERY is None:
        pytest.skip("NO RESOURCE-QUERY: name flux-sched's program in RESOURCE_QUERY")
    jobspec = graph.with_suffix(".request.json")
    jobspec.write_text(
        json.dumps(
            {
                "version": 9999,
                "resources": [request],
                "tasks": [{"command": ["true"], "slot": "task", "count": {"per_slot": 1}}],
                "attributes": {"system": {"duration": 60}},
            }
        )
    )
    options = ["-L", str(graph), "-f", "jgf", "-S", "CA", "-P", "low", "-F", "pretty_simple"]
    asked = f"match allocate {jobspec}\nquit\n"
    done = subprocess.run(
        [QUERY, *options], input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_racks_and_sockets(tmp_path: Path) -> None:
    """A job for two nodes of one rack, on each a socket with its GPU."""
    graph = tmp_path / "blue.json"
    create(graph, "nodes", "--nodes-per-rack=2", "--sockets")
    inside = [{"type": "core", "count": 2}, {"type": "gpu", "count": 1}]
    socket = {"type": "socket", "count": 1, "with": inside}
    slot = {"type": "slot", "count": 1, "label": "task", "with": [socket]}
    node = {"type": "node", "count": 2, "with": [slot]}
    found = matched(graph, {"type": "rack", "count": 1, "with": [node]})
    assert "RESOURCES=ALLOCATED" in found
    assert found.count("rack") == 1
    assert (found.count("socket0["), found.count("gpu0[")) == (2, 2)


def test_a_tree_of_software(tmp_path: Path) -> None:
    """Whether a package is there is a question for its type."""
    graph = tmp_path / "spack.json"
    names = [v["metadata"]["type"] for v in create(graph, "subsystem", "spack")["graph"]["nodes"]]
    slot = {"type": "slot", "count": 1, "label": "task", "with": [{"type": names[1], "count": 1}]}
    assert "RESOURCES=ALLOCATED" in matched(graph, slot)
    slot["with"] = [{"type": "no-such-package", "count": 1}]
    assert "RESOURCES=ALLOCATED" not in matched(graph, slot)


def test_the_resource_module_of_fluxion(tmp_path: Path) -> None:
    """As the part `scheduling` of an instance's R; a job gets what the graph says."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    if fluxion_environ() is None:
        pytest.skip(NO_FLUXION)
    graph = create(tmp_path / "blue.json", "nodes", "--nodes-per-rack=2")
    r = {
        "version": 1,
        "execution": {
            "R_lite": [{"rank": "0-3", "children": {"core": "0-7", "gpu": "0-1"}}],
            "starttime": 0,
            "expiration": 0,
            "nodelist": ["blue-[0-3]"],
        },
        "scheduling": graph,
    }
    (tmp_path / "R").write_text(json.dumps(r))
    options = [f"--conf=resource.path={tmp_path / 'R'}", "--conf=resource.noverify=true"]
    with private_flux(size=4, options=options, scheduler="fluxion") as flux:
        vertices = str(len(graph["graph"]["nodes"]))
        assert vertices in flux.run("flux", "ion-resource", "stats").splitlines()[0]
        job = flux.run("flux", "submit", "-N2", "-n2", "-g1", "true").strip()  # a slot in a node
        flux.run("flux", "job", "wait-event", "-t", "60", job, "alloc", timeout=90.0)
        given = json.loads(flux.run("flux", "job", "info", job, "R"))["execution"]["R_lite"]
        assert all("gpu" in each["children"] for each in given)
