"""Descriptions as files: `cluster/node-N.json`, `cluster-nodes.json`, `subsystem-NAME.json`.

The names are those of upstream's walk-through; N counts from 1, as it does there: rank 0 is node 1.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from rainbow_agent.inventory.description import ClusterDescription
from rainbow_compspec import jgf
from rainbow_compspec.subsystems import SUBSYSTEMS, SubsystemGraph, subsystem_graph

log = logging.getLogger(__name__)

#: A graph in full takes 300 bytes and 6 us of a core for each vertex, each time that a node comes
#: or goes: 60 MB and a second for so many.
MAX_KEPT_VERTICES: Final = 200_000
_NODE_FILE: Final = re.compile(r"node-(\d+)\.json")


class CompspecDir:
    """watcher.DescriptionFiles over a folder. What cannot be written is logged once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._problem = ""

    def keep_node(self, rank: int, text: str) -> None:
        """Store a rank's node JSON."""
        with self._telling():
            _replace(self._node_file(rank), lambda stream: stream.write(text))

    def read_node(self, rank: int) -> str | None:
        """A rank's node JSON as it was kept; None when there is none that can be read."""
        try:
            return self._node_file(rank).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def _node_file(self, rank: int) -> Path:
        return self._folder / "cluster" / f"node-{rank + 1}.json"

    def keep_cluster(self, description: ClusterDescription) -> None:
        """Store the full graphs, and remove files of ranks that the instance does not have.

        Of a cluster above MAX_KEPT_VERTICES the graph is stored as rainbow gets it.
        """
        with self._telling():
            write = partial(jgf.write, description.whole)
            if len(description.whole) > MAX_KEPT_VERTICES:
                write = partial(_write_text, description.graph.text)
            _replace(self._folder / "cluster-nodes.json", write)
            for name, graph in _subsystems(description):
                path = self._folder / f"subsystem-{name}.json"
                if graph.empty:
                    path.unlink(missing_ok=True)
                else:
                    _replace(path, partial(jgf.write, graph))
            self._forget({each.view.rank for each in description.survey.nodes})

    def _forget(self, ranks: set[int]) -> None:
        for path in (self._folder / "cluster").glob("node-*.json"):
            found = _NODE_FILE.fullmatch(path.name)
            if found and int(found[1]) - 1 not in ranks:
                path.unlink(missing_ok=True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if str(exc) != self._problem:
                self._problem = str(exc)
                log.warning(
                    "Descriptions of the nodes are not kept as files in %s: %s;"
                    " set RAINBOW_COMPSPEC_DIR",
                    self._folder,
                    exc,
                    extra={"action": "compspec_not_kept"},
                )


def _write_text(text: str, stream: TextIO) -> None:
    stream.write(text + "\n")


def _subsystems(description: ClusterDescription) -> Iterator[tuple[str, SubsystemGraph]]:
    """Each subsystem, as large as it is."""
    described = [each for each in description.survey.counted if each.facts is not None]
    ids = [str(each.view.rank + 1) for each in described]  # as cluster_graph numbers them
    facts = [each.facts for each in described if each.facts is not None]
    for name in SUBSYSTEMS:
        yield name, subsystem_graph(name, facts, ids)


def _replace(path: Path, write: Callable[[TextIO], object]) -> None:
    """Write a file in one step, so that no one reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            if _is_private(path.parent):
                os.fchmod(stream.fileno(), 0o600)
            write(stream)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _is_private(folder: Path) -> bool:
    """Whether the folder, or the one above it, is closed to others, as the state folder is."""
    return any(not each.stat().st_mode & 0o077 for each in (folder, folder.parent))
