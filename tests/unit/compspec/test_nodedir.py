"""A folder of node JSON: order, names, and damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rainbow_compspec.cli.show import show
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.nodedir import read_node_dir


def _write(folder: Path, file: str, name: str, cores: int = 2) -> None:
    sections = {"node": {"name": name}, "cpu": {"cores": str(cores), "sockets": "1"}}
    text = json.dumps({"results": {"rainbow": {"sections": sections}}})
    (folder / file).write_text(text, encoding="utf-8")


def test_nodes_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """node-2 stands before node-10, so that ids follow the numbers."""
    for number in (10, 2, 1):
        _write(tmp_path, f"node-{number}.json", f"blue-{number}")
    assert [facts.name for facts in read_node_dir(tmp_path).nodes] == [
        "blue-1",
        "blue-2",
        "blue-10",
    ]


def test_damage_costs_a_file_and_no_more(tmp_path: Path) -> None:
    """A truncated file and another shape are reported by name; the rest continues."""
    _write(tmp_path, "node-1.json", "blue-1", cores=6)
    (tmp_path / "node-2.json").write_text('{"results": {"rainbow"')
    (tmp_path / "node-3.json").write_text('{"graph": {}}')
    (tmp_path / "notes.txt").write_text("not one of them")
    found = read_node_dir(tmp_path)
    assert [len(facts.cores) for facts in found.nodes] == [6]
    assert [problem.partition(":")[0] for problem in found.problems] == [
        str(tmp_path / "node-2.json"),
        str(tmp_path / "node-3.json"),
    ]


def test_a_node_is_counted_once(tmp_path: Path) -> None:
    """Two files that name one node: the first counts, the second is reported with both names."""
    _write(tmp_path, "blue-1.json", "blue-1", cores=2)
    _write(tmp_path, "copy.json", "blue-1", cores=4)
    found = read_node_dir(tmp_path)
    assert [len(facts.cores) for facts in found.nodes] == [2]
    assert "describes node blue-1, as blue-1.json does" in found.problems[0]


def test_ranks_that_share_a_host_are_nodes_of_their_own(tmp_path: Path) -> None:
    """The agent's own folder, of an instance with several brokers on one machine."""
    for number in range(1, 9):
        _write(tmp_path, f"node-{number}.json", "laptop")
    found = read_node_dir(tmp_path)
    assert [facts.name for facts in found.nodes] == ["laptop"] * 8
    assert found.problems == ()
    shown = CliRunner().invoke(show, ["--node-dir", str(tmp_path)])
    assert shown.exit_code == 0
    assert "8 nodes" in shown.stdout


def test_a_folder_without_nodes(tmp_path: Path) -> None:
    """No folder, an empty one, and one with nothing but damage are errors that differ."""
    with pytest.raises(CompspecError, match="no such folder"):
        read_node_dir(tmp_path / "missing")
    with pytest.raises(CompspecError, match=r"no \*\.json in it describes a node$"):
        read_node_dir(tmp_path)
    (tmp_path / "node-1.json").write_text("{")
    with pytest.raises(CompspecError, match="the first of 1 problems"):
        read_node_dir(tmp_path)
