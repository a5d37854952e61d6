"""Jobs that require something of their nodes, on nodes that differ, the whole way from rainbow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.flux import cannot_differ, different_nodes
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: ior on each node of the Flux: none, an old one, and a new one on two.
VERSIONS = (None, "2.9.0", "3.3.0", "3.3.0")


def install(root: Path, version: str) -> None:
    """Leave spack's database as it is with an ior installed."""
    arch = {"platform": "linux", "platform_os": "ubuntu22.04", "target": {"name": "zen3"}}
    spec = {"name": "ior", "version": version, "namespace": "builtin", "hash": "a" * 8}
    entry = {
        "spec": {**spec, "parameters": {}, "arch": arch},
        "path": str(root / "ior"),
        "installed": True,
        "ref_count": 0,
        "explicit": True,
        "installation_time": 1715940000.0,
    }
    index = root / "opt" / "spack" / ".spack-db" / "index.json"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps({"database": {"version": "8", "installs": {"a" * 8: entry}}}))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Site]:
    """The local workload manager: one node, with the new ior."""
    install(tmp_path / "spack", "3.3.0")
    home = {"SPACK_ROOT": str(tmp_path / "spack"), "HOME": str(tmp_path)}
    with running_site(tmp_path, environ=home) as site:
        yield site


@pytest.fixture
def different(tmp_path: Path) -> Iterator[Site]:
    """A real rainbow and a real Flux of four nodes, each with another spack."""
    missing = missing_parts(SchedulerKind.REAL, flux=True) or cannot_differ()
    if missing:
        pytest.skip(missing)
    trees, folder = tmp_path / "trees", tmp_path / "spack"
    folder.mkdir()
    for rank, version in enumerate(VERSIONS):
        (trees / str(rank)).mkdir(parents=True)
        if version:
            install(trees / str(rank), version)
    home = {"SPACK_ROOT": str(folder), "HOME": str(tmp_path)}
    with (
        different_nodes(trees, folder) as flux,
        running_site(tmp_path, SchedulerKind.REAL, flux=flux, environ=home) as site,
    ):
        yield site


def job(site: Site, name: str, *needs: dict[str, str], **more: Any) -> dict[str, Any]:
    """A job whose task writes where it ran."""
    one = {"type": "node", "count": 1, "with": [{"type": "core", "count": 1}], "requires": [*needs]}
    command = ["sh", "-c", f'echo "{name} $(hostname)" >> {site.marks}']
    task = {"command": command, "resources": "one", **more.pop("task", {})}
    resources = {"one": one, **more.pop("resources", {})}
    return {"version": 1, "name": name, "resources": resources, "tasks": [task], **more}


def ior(**wanted: str) -> dict[str, str]:
    """A need of ior."""
    return {"name": "spack", "field": "ior", **wanted}


def outcome(site: Site, jobs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Run jobs that rainbow hands over; what `jobs` says of each."""
    with site.program.background("start") as agent:
        agent.says("Registered this cluster's")
        site.fleet.send(*jobs)
        site.program.await_end(len(jobs))
        assert agent.stop() == 0
    return {row["name"]: row for row in site.program.show("jobs")}


@pytest.mark.flux
@pytest.mark.rainbow
def test_a_job_runs_on_a_node_that_passes(different: Site) -> None:
    """By exact value, by range, and by alternatives, never anywhere else; else it is refused."""
    modules = different.program.folder / ".compspec" / "subsystems" / "modules.json"
    modules.parent.mkdir(parents=True)
    vertices = [
        {"type": "environment-modules", "name": "environment-modules0"},
        {"type": "module", "name": "module0", "attributes": {"software": "lammps"}},
    ]
    nodes = {f"v{n}": {"metadata": metadata} for n, metadata in enumerate(vertices)}
    modules.write_text(json.dumps({"graph": {"nodes": nodes, "edges": []}}))
    blocks = {
        "spack-software": [ior(match="2.9.0")],
        "module-software": [
            {
                "name": "environment-modules",
                "field": "type",
                "match": "module",
                "attribute": "software",
                "value": "lammps",
            }
        ],
    }
    old = {"task": {"replicas": 4, "requires": "spack-software"}, "requires": blocks}
    either = {"task": {"requires": "module-software|spack-software"}, "requires": blocks}
    sent = [
        job(different, "new", ior(min="3.0.0", max="4.0.0"), task={"replicas": 6}),
        job(different, "old", **old),
        job(different, "either", **either),
        job(different, "none", ior(min="4.0.0")),
        job(different, "many", ior(match="3.3.0"), resources={}),
    ]
    sent[4]["resources"]["one"]["count"] = 3
    found = outcome(different, sent)
    ran: dict[str, set[str]] = {name: set() for name in found}
    for line in different.written():
        name, host = line.split()
        ran[name].add(host)
    assert ran["new"] <= {"blue-2", "blue-3"}
    assert ran["old"] == {"blue-1"}
    assert len(different.written()) == 6 + 4 + 1
    assert [found[name]["state"] for name in ("new", "old", "either")] == ["completed"] * 3
    assert [found[name]["state"] for name in ("none", "many")] == ["refused"] * 2
    assert "requires[0]" in found["none"]["reason"]
    told = "no node here has 'ior' from '4.0.0' in subsystem 'spack'; there: 2 nodes with '3.3.0'"
    assert told in found["none"]["reason"]
    assert "3 nodes with 1 core each asked for; 2 nodes of 4 met" in found["many"]["reason"]
    _asked_by_hand(different, sent)


def _asked_by_hand(site: Site, sent: Sequence[dict[str, Any]]) -> None:
    """`satisfy` and `run --dry-run` say beforehand what became of these jobs."""
    path, before = site.program.folder / "asked.json", site.written()
    answers = {}
    for each in sent:
        path.write_text(json.dumps(each))
        answers[each["name"]] = site.program.run("satisfy", str(path), "-o", "json")
    assert {name: answer.code for name, answer in answers.items()} == {
        "new": 0,
        "old": 0,
        "either": 0,
        "none": 1,
        "many": 1,
    }
    (task,) = answers["new"].value["tasks"]
    assert (task["ranks"], task["nodes"], task["now"]) == ([2, 3], ["blue-2", "blue-3"], True)
    path.write_text(json.dumps(sent[0]))
    plan = site.program.run("run", "--dry-run", str(path), "-o", "json").value
    (task,) = plan["tasks"]
    assert (plan["flux_jobs"], task["replicas"]) == (6, 6)
    assert task["jobspec"]["attributes"]["system"]["constraints"] == {"ranks": ["2-3"]}
    assert site.written() == before


@pytest.mark.flux
@pytest.mark.rainbow
def test_what_a_group_requires_holds_for_its_nodes(different: Site) -> None:
    """Of the group, of what is in it, and of a group in it; what cannot run there says why."""
    core = {"type": "core", "count": 1}
    resources = {
        "two": {"type": "node", "count": 2, "with": [core]},
        "new": {"type": "node", "count": 1, "with": [core], "requires": [ior(min="3.0.0")]},
        "old": {"type": "node", "count": 1, "with": [core], "requires": [ior(max="3.0.0")]},
        "none": {"type": "node", "count": 1, "with": [core], "requires": [ior(min="4.0.0")]},
    }

    def task(name: str, resource: str | None = None, **more: Any) -> dict[str, Any]:
        command = ["sh", "-c", f'echo "{name} $(hostname)" >> {different.marks}']
        found = {"name": name, "command": command, **more}
        return {**found, "resources": resource} if resource else found

    def group(name: str, *inside: dict[str, Any], **more: Any) -> dict[str, Any]:
        groups = [{"name": "g", "resources": "two", "tasks": [*inside], **more}]
        return {"version": 1, "name": name, "resources": resources, "groups": groups}

    deep = {"name": "h", "resources": "new", "tasks": [task("deep")]}
    sent = [
        group("inside", task("inner", "new", replicas=3)),
        group("deep", groups=[deep]),
        group("mixed", task("mixed-new", "new"), task("mixed-old", "old")),
        group("none", task("never", "none")),
    ]
    found = outcome(different, sent)
    ran: dict[str, set[str]] = {}
    for line in different.written():
        name, host = line.split()
        ran.setdefault(name, set()).add(host)
    assert ran["inner"] <= {"blue-2", "blue-3"}
    assert ran["deep"] <= {"blue-2", "blue-3"}
    assert "never" not in ran
    states = {name: row["state"] for name, row in found.items()}
    assert (states["inside"], states["deep"], states["none"]) == ("completed",) * 2 + ("refused",)
    # No promise of a node of each kind to a group of two: it ends as it happened to get them.
    assert ran.get("mixed-new", set()) <= {"blue-2", "blue-3"}
    assert ran.get("mixed-old", set()) <= {"blue-1"}
    if states["mixed"] != "completed":
        tasks = {t["name"]: t for t in found["mixed"]["tasks"]}
        failed = [t for t in tasks.values() if t["name"] != "g" and t["state"] == "failed"]
        assert all("on the nodes that its group got" in t["reason"] for t in failed)
        assert failed


def test_on_one_node_a_job_runs_or_is_refused(local: Site) -> None:
    """Also without Flux; the alternative that can run here is taken."""
    gpu = {"type": "node", "count": 1, "with": [{"type": "gpu", "count": 1}]}
    sent = [
        job(local, "new", ior(min="3.0.0"), task={"attributes": {"color": "red"}}),
        job(local, "none", ior(min="4.0.0")),
        job(local, "choice", task={"resources": "gpu|one"}, resources={"gpu": gpu}),
    ]
    inside = job(local, "inside", ior(min="3.0.0"))
    inside["resources"]["old"] = {**inside["resources"]["one"], "requires": [ior(max="3.0.0")]}
    inside["resources"]["all"] = {"type": "core", "count": 2}
    tasks = [{**task, "resources": "old|one"} for task in inside.pop("tasks")]
    inside["groups"] = [{"name": "g", "resources": "all", "tasks": tasks}]
    sent.append(inside)
    found = outcome(local, sent)
    assert {name: row["state"] for name, row in found.items()} == {
        "new": "completed",
        "none": "refused",
        "choice": "completed",
        "inside": "completed",
    }
    assert "there: 1 node with '3.3.0'" in found["none"]["reason"]
    (row,) = local.program.show("jobs", str(found["new"]["id"]))
    (warning,) = row["warnings"]
    assert "the attribute 'color' is not known and has no effect" in warning
    for verb in ("jobs", "explain"):
        assert warning in local.program.run(verb, str(found["new"]["id"])).out


def test_a_run_by_hand_is_placed_too(local: Site) -> None:
    """`run` asks the nodes itself, and says why none can run the job."""
    path = local.program.folder / "job.yaml"
    path.write_text(json.dumps(job(local, "new", ior(min="3.0.0"))))
    assert local.program.run("run", str(path)).code == 0
    assert [line.split()[0] for line in local.written()] == ["new"]
    path.write_text(json.dumps(job(local, "none", ior(min="4.0.0"))))
    answer = local.program.run("run", str(path))
    assert answer.code == 1
    assert "no node here has 'ior' from '4.0.0'" in answer.err
    refused = local.program.run("satisfy", str(path))
    assert (refused.code, refused.out.splitlines()[0]) == (1, "no")
    assert "no node here has 'ior' from '4.0.0'" in refused.out
    assert len(local.written()) == 1
