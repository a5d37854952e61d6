"""What people see: the tree, and the verbs `show` and `create`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import jgf
from rainbow_compspec.cli import main
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.jgf_read import load_cluster, parse_cluster, parse_subsystem
from rainbow_compspec.show import compress, render
from rainbow_compspec.simulate import Simulation, simulate
from support.compspec_facts import machines

SIMULATION = Simulation(nodes=1000, sockets=2, cores=64, gpus=8, packages=30, memory=512)

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Calls rainbow-compspec."""
    return lambda *arguments: CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def node_dir(tmp_path: Path) -> Path:
    """A folder with two nodes and a damaged file."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for number in (0, 1):
        sections = {
            "node": {"name": f"blue-{number}"},
            "cpu": {"cores": "4", "sockets": "2", "arch": "arm64"},
        }
        text = json.dumps({"results": {"rainbow": {"sections": sections}}})
        (folder / f"node-{number}.json").write_text(text)
    (folder / "node-2.json").write_text("{")
    return folder


def test_nodes_that_are_alike_stand_in_one_branch() -> None:
    """A thousand nodes take the lines of one."""
    graph = cluster_graph("blue", simulate(SIMULATION, "blue"))
    assert render(graph).splitlines() == [
        "blue: 1,000 nodes, 2,000 sockets, 64,000 cores, 8,000 GPUs",
        "└── blue-[0-999] (1,000 nodes, each with)",
        "    ├── 2 sockets, each with 32 cores, 4 GPUs",
        "    ├── AMD EPYC 7763 64-Core Processor (amd64, zen3)",
        "    ├── 8 GPUs: NVIDIA A100-SXM4-80GB",
        "    ├── 512 GiB of memory",
        "    ├── ubuntu 24.04",
        "    └── spack: 30 packages: package-0 1.0.0, package-10 2.3.0, package-20 3.6.0",
    ]


def test_nodes_that_differ_stand_apart() -> None:
    """In the order of their names, with what each has."""
    plain = NodeFacts("blue-10")
    nodes = [plain, replace(plain, name="blue-9", mpi={"implementation": "mpich"})]
    assert render(cluster_graph("blue", nodes)).splitlines() == [
        "blue: 2 nodes",
        "├── blue-9",
        "│   └── mpich",
        "└── blue-10",
    ]


@given(machines())
def test_a_graph_file_shows_the_same_hardware(machine: tuple[NodeFacts, ...]) -> None:
    """The first line is the same from facts and from the file made of them."""
    graph = cluster_graph("blue", machine)
    again = parse_cluster(jgf.dumps(graph))
    assert render(again).splitlines()[0] == render(graph).splitlines()[0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["blue-0"], "blue-0"),
        (["blue-1", "blue-0", "blue-2", "blue-7"], "blue-[0-2,7]"),
        (["n08", "n09", "n10", "n7"], "n7,n[08-10]"),
        (["n08", "n09", "n10"], "n[08-10]"),
        (["a1b", "a2b", "a2c"], "a[1-2]b,a2c"),
        (["login", "login", "x"], "login,x"),
    ],
)
def test_names_in_brackets(names: list[str], expected: str) -> None:
    """Runs of numbers shrink to their ends; zeros in front are kept."""
    assert compress(names) == expected


@given(st.sets(st.integers(0, 300), min_size=1))
def test_no_name_is_lost_in_brackets(numbers: set[int]) -> None:
    """The ranges name exactly the hosts that went in."""
    text = compress(f"n-{number}" for number in numbers).removeprefix("n-").strip("[]")
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    assert {n for run in ends for n in range(run[0], run[-1] + 1)} == numbers


def test_show_a_simulation(run: Run) -> None:
    """A cluster to play with, and what rainbow would get of it."""
    result = run("show", "--simulate", "nodes=4,sockets=2,cores=64,gpus=8", "--wire")
    assert result.exit_code == 0, result.output
    assert "4 nodes, 8 sockets, 256 cores, 32 GPUs" in result.output
    assert "sent as: full, " in result.output


def test_show_a_folder(run: Run, node_dir: Path) -> None:
    """Damage goes to stderr, with the file's name; the tree has the rest."""
    result = run("show", "--node-dir", node_dir, "--cluster-name", "blue")
    assert result.stdout.startswith("blue: 2 nodes, 4 sockets, 8 cores\n└── blue-[0-1] (2 nodes")
    assert f"left out: {node_dir / 'node-2.json'}: not JSON" in result.stderr


def test_create_nodes_then_show_then_subsystem(run: Run, node_dir: Path, tmp_path: Path) -> None:
    """The file of `create nodes` is what the other two build on."""
    output = tmp_path / "cluster-nodes.json"
    common = ("--cluster-name", "blue", "--node-dir", node_dir)
    assert run("create", "nodes", *common, "--nodes-output", output).exit_code == 0
    assert load_cluster(output).counts()["core"] == 8
    assert run("show", output).stdout.startswith("blue: 2 nodes, 4 sockets, 8 cores\n")
    made = run("create", "subsystem", "system", *common, "--nodes", output)
    assert made.exit_code == 0, made.output
    assert len(parse_subsystem(made.stdout, ["1", "2"])) == 2
    wire = run("create", "subsystem", "system", *common, "--wire", "--output", tmp_path / "s.json")
    assert wire.exit_code == 0, wire.output
    assert len(parse_subsystem((tmp_path / "s.json").read_text(), ["1", "2"])) == 2


def test_create_nodes_to_stdout(run: Run, node_dir: Path) -> None:
    """Without a file the graph is printed, as upstream's command does."""
    result = run("create", "nodes", "--cluster-name", "blue", "--node-dir", node_dir)
    assert parse_cluster(result.stdout).counts()["node"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show",), "give either --node-dir or --simulate"),
        (("show", "x.json", "--simulate", "nodes=1"), "give a FILE, or"),
        (("show", "x.json"), "x.json: cannot be read"),
        (("show", "--simulate", "nodes=many"), "wants a whole number"),
        (("create", "nodes", "--cluster-name", "b", "--node-dir", "x"), "no such folder"),
        (
            (
                "create",
                "nodes",
                "--cluster-name",
                "b",
                "--simulate",
                "nodes=1",
                "--nodes-output",
                "x/y",
            ),
            "x/y: cannot be written",
        ),
        (
            ("create", "subsystem", "mpi", "--cluster-name", "b", "--simulate", "nodes=1"),
            "no node has anything of mpi",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run,
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line, no traceback, an exit code that is not 0."""
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code in {1, 2}
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("cluster", "simulation", "message"),
    [("red", "nodes=2", "the graph of cluster blue"), ("blue", "nodes=3", "no node called blue-2")],
)
def test_a_subsystem_of_another_cluster(
    run: Run, tmp_path: Path, cluster: str, simulation: str, message: str
) -> None:
    """Edges would start at nodes of someone else, so nothing is written."""
    output = tmp_path / "blue.json"
    graph = ("create", "nodes", "--cluster-name", "blue", "--simulate", "nodes=2")
    assert run(*graph, "--nodes-output", output).exit_code == 0
    options = ("--cluster-name", cluster, "--simulate", simulation, "--nodes", output)
    result = run("create", "subsystem", "system", *options)
    assert result.exit_code == 1
    assert message in result.output
