"""Descriptions as files, named as in upstream's walk-through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rainbow_agent.inventory.description import describe_cluster
from rainbow_agent.inventory.files import CompspecDir
from rainbow_compspec.jgf_read import load_cluster
from rainbow_compspec.nodedir import read_node_dir
from support.nodes import changed, node_json, survey_of, views


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_rank_has_a_file_counted_from_one(tmp_path: Path) -> None:
    """They are node JSON for any tool that reads it."""
    shelf = CompspecDir(tmp_path / "code")
    for rank in (0, 1):
        shelf.keep_node(rank, node_json(f"blue-{rank}"))
    assert names(tmp_path / "code") == ["cluster/node-1.json", "cluster/node-2.json"]
    found = read_node_dir(tmp_path / "code" / "cluster")
    assert [facts.name for facts in found.nodes] == ["blue-0", "blue-1"]


def test_the_cluster_is_there_in_full(tmp_path: Path) -> None:
    """The graph, and one a subsystem, with the packages below."""
    shelf = CompspecDir(tmp_path)
    shelf.keep_cluster(describe_cluster("blue", survey_of(views(2), packages=["ior@3.3.0"])))
    assert names(tmp_path) == [
        "cluster-nodes.json",
        "subsystem-hardware.json",
        "subsystem-io.archspec.json",
        "subsystem-spack.json",
        "subsystem-system.json",
    ]
    assert load_cluster(tmp_path / "cluster-nodes.json").counts()["core"] == 8
    spack = json.loads((tmp_path / "subsystem-spack.json").read_text())["graph"]["nodes"]
    assert {vertex["metadata"]["type"] for vertex in spack.values()} == {"spack", "package"}


def test_of_a_very_large_cluster_the_file_has_what_rainbow_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of MiB would be written each time that a node comes or goes."""
    monkeypatch.setattr("rainbow_agent.inventory.files.MAX_KEPT_VERTICES", 10)
    description = describe_cluster("blue", survey_of(views(2)))
    CompspecDir(tmp_path).keep_cluster(description)
    assert (tmp_path / "cluster-nodes.json").read_text() == description.graph.text + "\n"
    assert load_cluster(tmp_path / "cluster-nodes.json").counts()["core"] == 8


def test_what_is_no_more_is_removed(tmp_path: Path) -> None:
    """A rank that the instance does not have, a subsystem without content; no other files."""
    shelf = CompspecDir(tmp_path)
    for rank in range(3):
        shelf.keep_node(rank, node_json(f"blue-{rank}"))
    (tmp_path / "cluster" / "node-notes.json").write_text("mine")
    shelf.keep_cluster(describe_cluster("blue", survey_of(views(2), packages=["ior@3.3.0"])))
    down = changed(views(2), 1, up=False)
    shelf.keep_cluster(describe_cluster("blue", survey_of(down)))
    assert names(tmp_path / "cluster") == ["node-1.json", "node-2.json", "node-notes.json"]
    assert not (tmp_path / "subsystem-spack.json").exists()


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The cluster is registered all the same."""
    (tmp_path / "file").write_text("")
    shelf = CompspecDir(tmp_path / "file")
    for _ in range(3):
        shelf.keep_cluster(describe_cluster("blue", survey_of(views(1))))
    assert len(caplog.records) == 1
    assert "RAINBOW_COMPSPEC_DIR" in caplog.text
