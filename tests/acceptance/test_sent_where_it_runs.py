"""What `submit` gives to a cluster runs there: rainbow has no way to give a job back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from support.common import eventually
from support.program import Program, installed
from support.servers import SchedulerKind, running_scheduler

KINDS = [
    pytest.param(SchedulerKind.EMBEDDED, id="embedded", marks=pytest.mark.full),
    pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
]
TOKEN = "one-for-all"
#: Cores and spack's packages of each cluster's one node.
CLUSTERS = {
    "red": (4, ("ior@3.3.0", "hdf5@1.14.3")),
    "pink": (2, ("ior@3.2.1", "hdf5@1.12.0")),
    "green": (8, ("ior@4.0.0", "ior@3.3.0")),
}

NODE = "{type: node, count: 1, with: [{type: core, count: 1}]REQUIRES}"
IOR_OLD = "{name: spack, field: ior, max: 3.9.9}"
HDF5_NEW = "{name: spack, field: hdf5, min: 1.14.0}"
IOR_NEW = "{name: spack, field: ior, min: 4.0.0}"
HDF5 = "{name: spack, field: type, match: package, attribute: name, value: hdf5}"


def node(*requires: str) -> str:
    return NODE.replace("REQUIRES", f", requires: [{', '.join(requires)}]" if requires else "")


#: Of each job: the resource, what the task requires as well, and the clusters that can run it.
JOBS = [
    (node(), "", "green pink red"),
    (node(IOR_OLD, HDF5_NEW), "", "red"),
    (node(HDF5_NEW, IOR_OLD), "", "red"),
    (node(IOR_NEW, HDF5), "", ""),
    (node(IOR_OLD), "", "green pink red"),
    (node(IOR_NEW), "", "green"),
    (node(), HDF5_NEW, "red"),
    (node(IOR_OLD), HDF5, "pink red"),
    ("{type: node, count: 1, with: [{type: core, count: 5}]}", "", "green"),
    ("{type: node, count: 1, with: [{type: cores, count: 3}]}", "", "green red"),
    ("{type: slot, count: 3, with: [{type: core, count: 2}]}", "", "green"),
    ("{type: rack, count: 1, with: [{type: node, count: 1}]}", "", "green pink red"),
    ("{type: node, count: 2}", "", ""),
    ("{type: core, count: 9}", "", ""),
]


def install(root: Path, *packages: str) -> None:
    """Leave spack's database as it is with these installed."""
    arch = {"platform": "linux", "platform_os": "ubuntu22.04", "target": {"name": "zen3"}}
    installs = {}
    for place, package in enumerate(packages):
        name, version = package.split("@")
        digest = f"{place:08d}"
        spec = {"name": name, "version": version, "namespace": "builtin", "hash": digest}
        installs[digest] = {
            "spec": {**spec, "parameters": {}, "arch": arch},
            "path": str(root / package),
            "installed": True,
            "ref_count": 0,
            "explicit": True,
            "installation_time": 1715940000.0,
        }
    index = root / "opt" / "spack" / ".spack-db" / "index.json"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps({"database": {"version": "8", "installs": installs}}))


@pytest.fixture(params=KINDS)
def clusters(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Program]]:
    """Three clusters that serve, by name; each program can also send."""
    kind = request.param
    if kind.missing():
        pytest.skip(kind.missing())
    with ExitStack() as stack:
        scheduler = stack.enter_context(running_scheduler(kind, tmp_path, global_token=TOKEN))
        found = {}
        for name, (cores, packages) in CLUSTERS.items():
            (tmp_path / name).mkdir()
            install(tmp_path / name / "spack", *packages)
            program = installed(
                tmp_path / name,
                environ={"SPACK_ROOT": str(tmp_path / name / "spack")},
                host=scheduler.host,
                cluster=name,
                secret=scheduler.secret,
                token=TOKEN,
                workload="local",
                local_cores=cores,
                poll_min=0.02,
                poll_max=0.2,
            )
            found[name] = stack.enter_context(program)
            stack.enter_context(found[name].background("start")).says("Registered this cluster's")
        yield found


def text_of(resource: str, needed: str) -> str:
    requires = f", requires: [{needed}]" if needed else ""
    return (
        f"version: 1\nresources: {{r: {resource}}}\n"
        f"tasks: [{{command: ['true'], resources: r{requires}}}]\n"
    )


def test_no_job_is_refused_where_it_was_sent(clusters: dict[str, Program], tmp_path: Path) -> None:
    """Two of each go to a cluster that completes them; what none can run is not sent at all."""
    sender, sent = clusters["red"], 0
    for place, (resource, needed, fit) in enumerate(JOBS):
        file = tmp_path / f"job-{place}.yaml"
        file.write_text(text_of(resource, needed))
        for _ in range(2):
            answer = sender.run("submit", str(file), "-o", "json")
            assert (answer.code == 0) is bool(fit), (resource, needed, answer)
            if fit:
                assert answer.value["cluster"] in fit.split(), (resource, needed)
                sent += 1

    def over() -> bool:
        rows = [row for program in clusters.values() for row in program.rows()]
        return len(rows) == sent and all(row.finished for row in rows)

    eventually(over, "every job is over")
    states = {row.state for program in clusters.values() for row in program.rows()}
    assert states == {JobState.COMPLETED}
