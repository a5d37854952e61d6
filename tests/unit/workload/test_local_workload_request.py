"""Reading Flux jobspecs for the local workload manager, and what they may bring along."""

from __future__ import annotations

import base64
import copy
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.workload.local.server.constraints import admits
from rainbow_agent.workload.local.server.machine import physical_cores
from rainbow_agent.workload.local.server.request import (
    Dependency,
    DependencyKind,
    Resources,
    read_jobspec,
    read_resources,
)
from rainbow_agent.workload.local.server.staging import read_files, stage
from support.local_workload import make_jobspec

CORE = {"type": "core", "count": 4}
SLOT = {"type": "slot", "count": 2, "label": "task", "with": [CORE]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_counts_multiply_down_the_tree() -> None:
    """Two nodes of two slots of four cores are sixteen cores in four slots."""
    node = {"type": "node", "count": 2, "exclusive": True, "with": [SLOT]}
    assert read_resources([node]) == Resources(nodes=2, slots=4, cores=16, exclusive=True)
    assert read_resources([SLOT]) == Resources(slots=2, cores=8)


def test_a_whole_jobspec_is_read() -> None:
    """Everything that the server acts on is taken from its place in the jobspec."""
    key = TaskKey(JobKey("r", 7), "build", 3)
    jobspec = make_jobspec(
        ["echo", "hello"],
        slots=3,
        environment={"A": "b"},
        cwd="/opt",
        dependencies=[{"scheme": "afterany", "value": "12"}],
        duration=2.5,
    )
    jobspec["attributes"]["user"] = {"rainbow": key.to_attribute()}
    request = read_jobspec(jobspec)
    assert request.command == ("echo", "hello")
    assert request.tasks == 3
    assert request.duration == 2.5
    assert request.cwd == "/opt"
    assert request.environment["A"] == "b"
    assert request.dependencies == (Dependency(DependencyKind.AFTERANY, 12),)
    assert request.key == key


def change(jobspec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a jobspec with one value replaced; `0` in the path is the first of a list."""
    changed = copy.deepcopy(jobspec)
    *parents, last = path.split(".")
    place: Any = changed
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place[name]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("version", 2, "version 2"),
        ("resources", [], "not empty"),
        ("resources", [CORE], "no slot"),
        ("resources", [{"type": "slot", "count": 1, "label": "t"}], "no core"),
        ("resources", [{"type": "rack", "count": 1, "with": [SLOT]}], "'rack'"),
        ("resources.0.count", 0, "at least 1"),
        ("resources.0.count", True, "at least 1"),
        ("resources.0.count", {"min": 1}, "at least 1"),
        ("resources.0.count", 10**400, "at least 1"),
        ("tasks", [], "exactly one task"),
        ("tasks.0.command", "true", "list of words"),
        ("tasks.0.command", [""], "empty word"),
        ("tasks.0.command", ["a\0b"], "NUL"),
        ("tasks.0.command", ["\ud800"], "character"),
        ("tasks.0.count", {"per_resource": 1}, "per_slot and total"),
        ("tasks.0.count", {"total": 10_000_000}, "more than"),
        ("attributes.system.duration", -1, "length of time"),
        ("attributes.system.duration", float("inf"), "length of time"),
        ("attributes.system.duration", float("nan"), "length of time"),
        ("attributes.system.duration", 10**400, "length of time"),
        ("attributes.system.duration", "1h", "number of seconds"),
        ("attributes.system.environment", {"A": 1}, "'A' must be a string"),
        ("attributes.system.environment", {"A=B": "1"}, "'A=B'"),
        ("attributes.system.dependencies", [{"scheme": "x", "value": "1"}], '"x" not supported'),
        ("attributes.system.dependencies", [{"scheme": "afterok", "value": "f1"}], "not a job id"),
        (
            "attributes.system.dependencies",
            [{"scheme": "afterok", "value": "9" * 5000}],
            "not a job id",
        ),
        ("attributes.system.files", {"../x": {"data": ""}}, "plain file name"),
        ("attributes.system.files", {"x": {"mode": stat.S_IFLNK, "data": ""}}, "regular file"),
        ("attributes.system.files", {"x": {"data": "!", "encoding": "base64"}}, "base64"),
        ("attributes.system.constraints", ["x"], "JSON object"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(path: str, value: Any, words: str) -> None:
    """A refusal says which part of the jobspec is wrong."""
    with pytest.raises(Rejected, match=words):
        read_jobspec(change(make_jobspec(["true"]), path, value))


@given(json_values)
def test_nonsense_is_refused_and_nothing_else(value: Any) -> None:
    """No JSON value makes the reader fail in another way than by refusing."""
    for path in ("resources", "tasks", "attributes", "attributes.system"):
        try:
            read_jobspec(change(make_jobspec(["true"]), path, value))
        except Rejected:
            continue
    with pytest.raises(Rejected):
        read_jobspec(value)


def test_files_are_put_into_the_jobs_own_folder(tmp_path: Path) -> None:
    """Text, base64 and plain JSON become files with the permissions that were asked for."""
    files = read_files(
        {
            "run.sh": {"mode": 0o100755, "data": "echo ü", "encoding": "utf-8"},
            "blob": {"data": base64.b64encode(b"\0\1").decode(), "encoding": "base64"},
            "conf": {"mode": 0o100600, "data": {"a": 1}},
        }
    )
    folder = tmp_path / "job"
    stage(folder, files)
    assert (folder / "run.sh").read_text() == "echo ü"
    assert stat.S_IMODE((folder / "run.sh").stat().st_mode) == 0o755
    assert (folder / "blob").read_bytes() == b"\0\1"
    assert (folder / "conf").read_text() == '{"a": 1}'
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("constraint", "answer"),
    [
        ({"ranks": ["0-3"]}, True),
        ({"ranks": ["1", "2-3"]}, False),
        ({"hostlist": ["node-[1-9]", "other"]}, False),
        ({"hostlist": ["node-[08-12]"]}, True),
        ({"hostlist": ["node-[008-012]"]}, False),
        ({"hostlist": ["a,node-10"]}, True),
        ({"hostlist": ["a-[1,2],node-[1,10]"]}, True),
        ({"properties": ["gpu"]}, False),
        ({"properties": ["^gpu"]}, True),
        ({"not": [{"ranks": ["0"]}]}, False),
        ({"or": [{"ranks": ["5"]}, {"hostlist": ["node-10"]}]}, True),
        ({"and": [{"ranks": ["0"]}, {"hostlist": ["x"]}]}, False),
        ({}, True),
    ],
)
def test_constraints_are_evaluated_for_this_node(constraint: Any, answer: bool) -> None:
    """RFC 31 constraints admit node-10, rank 0, or do not."""
    assert admits(constraint, "node-10") is answer


@pytest.mark.parametrize(
    "constraint", [{"color": []}, {"ranks": "0"}, {"ranks": [0]}, {"ranks": ["x"]}, {"not": [1]}]
)
def test_what_is_no_constraint_is_refused(constraint: Any) -> None:
    """A constraint that is not understood is never taken for one that holds."""
    with pytest.raises(Rejected):
        admits(constraint, "node-10")


def test_hardware_threads_of_a_core_count_once(tmp_path: Path) -> None:
    """Four CPUs on two cores, and one that shows no topology, are three cores."""
    for cpu, core in enumerate((0, 1, 0, 1)):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_id").write_text(f"{core}\n")
        (topology / "physical_package_id").write_text("0\n")
    assert physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert physical_cores({0, 2}, tmp_path) == 1
    assert physical_cores({0, 1, 7}, tmp_path) == 3
