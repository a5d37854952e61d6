"""The user's own subsystems: files that upstream's `satisfy` reads, too."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.requirements import Need
from rainbow_agent.inventory.user_subsystems import UserSubsystems


def graph(kind: str, *children: dict[str, Any]) -> str:
    """A file as upstream's compspec plugins write it: facts of a vertex stand in `attributes`."""
    vertices = [{"type": kind, "basename": kind, "name": f"{kind}0", "id": 0}]
    vertices += [
        {"type": "module", "basename": "module", "name": f"module{n}", "id": n, "attributes": child}
        for n, child in enumerate(children)
    ]
    nodes = {f"{kind}{n}": {"label": str(n), "metadata": v} for n, v in enumerate(vertices)}
    return json.dumps({"graph": {"nodes": nodes, "edges": []}})


def module(value: str) -> Need:
    return Need("environment-modules", "type", "module", attribute="software", value=value)


def meets(subsystems: UserSubsystems, need: Need) -> bool:
    return need.met_by(subsystems.read().get(need.subsystem, ()))


def test_no_folder_is_no_subsystem(tmp_path: Path) -> None:
    """Most users have none."""
    assert UserSubsystems(tmp_path / "nowhere").read() == {}


def test_files_at_any_depth_are_read(tmp_path: Path) -> None:
    """A subsystem is called like the type of its first vertex, whatever its file is called."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "x.json").write_text(
        graph("environment-modules", {"name": "python/anaconda3", "software": "python"})
    )
    found = UserSubsystems(tmp_path)
    assert meets(found, module("python"))
    assert not meets(found, module("lammps"))
    assert meets(found, Need("environment-modules", "type", "module"))
    # Both an element and an attribute are called `name`.
    for name in ("python/anaconda3", "module0"):
        assert meets(found, Need("environment-modules", attribute="name", value=name))


def test_what_is_installed_later_is_found(tmp_path: Path) -> None:
    """And as long as no file changed the value stays the very same."""
    path, found = tmp_path / "modules.json", UserSubsystems(tmp_path)
    path.write_text(graph("environment-modules", {"software": "python"}))
    before = found.read()
    assert found.read() is before
    path.write_text(graph("environment-modules", {"software": "python"}, {"software": "lammps"}))
    assert meets(found, module("lammps"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"graph": {}}',
        '{"graph": {"nodes": {}}}',
        '{"graph": {"nodes": {"a": 1}}}',
        "\xff",
    ],
)
def test_a_bad_file_is_said_once_and_harms_no_other(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named, and left out."""
    (tmp_path / "bad.json").write_bytes(text.encode("latin-1"))
    (tmp_path / "good.json").write_text(graph("environment-modules", {"software": "python"}))
    found = UserSubsystems(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert meets(found, module("python"))
        assert meets(found, module("python"))
    (message,) = [record.getMessage() for record in caplog.records]
    assert "bad.json: left out" in message
