"""The user's own subsystems: JSON Graph Format files under ~/.compspec/subsystems.

Read as compspec/jobspec does for its `satisfy` (jobspec/subsystem): every *.json at any depth, one
subsystem a file, called like the type of its first vertex; edges play no part. What they say holds
on every node: the software is the user's, wherever it is started.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.requirements import Traits
from rainbow_agent.core.site import Subsystems

log = logging.getLogger(__name__)

#: Bytes of a file; upstream's example of 2,000 packages is not a tenth of it.
_MAX_FILE_BYTES: Final = 64 << 20

_Stamp = tuple[tuple[str, int, int], ...]


class UserSubsystems:
    """A folder; it need not exist. Used by one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: _Stamp = ()
        self._known: Subsystems = {}
        #: A sentence for each file that cannot be used.
        self.problems: tuple[str, ...] = ()

    def read(self) -> Subsystems:
        """What is there now; the same object while no file changed. A bad file is said once."""
        files = [path for path in sorted(self._folder.rglob("*.json")) if path.is_file()]
        stamp = tuple((str(path), *_changed(path)) for path in files)
        if stamp != self._stamp:
            self._stamp, self._known = stamp, self._read(files)
            for problem in self.problems:
                log.warning("%s", problem, extra={"action": "subsystem_not_read"})
        return self._known

    def _read(self, files: list[Path]) -> Subsystems:
        found: dict[str, tuple[Traits, ...]] = {}
        problems = []
        for path in files:
            try:
                name, vertices = _parse(path)
            except (OSError, ValueError, RecursionError) as exc:
                problems.append(f"{path}: left out, because it is not a subsystem: {exc}")
                continue
            found[name] = (*found.get(name, ()), *vertices)
        self.problems = tuple(problems)
        return found


def _changed(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _parse(path: Path) -> tuple[str, tuple[Traits, ...]]:
    """A file's subsystem: its name, and its vertices.

    Raises:
        OSError, ValueError: it cannot be read, or is not a graph with nodes.
    """
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {_MAX_FILE_BYTES >> 20} MiB")
    document = json.loads(path.read_text(encoding="utf-8"))
    graph = document.get("graph") if isinstance(document, dict) else None
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        raise ValueError("`graph.nodes` is missing, empty, or no object by id")
    metadata = [_metadata(id_, node) for id_, node in nodes.items()]
    name = metadata[0].get("type")
    if not isinstance(name, str):  # upstream's fallback
        name = next(iter(nodes)).replace("0", "")
    return name, tuple(dict(_elements(each)) for each in metadata)


def _metadata(id_: str, node: Any) -> Mapping[str, Any]:
    metadata = node.get("metadata", {}) if isinstance(node, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError(f"vertex {id_!r} has no metadata object")  # noqa: TRY004 - of a file
    return metadata


def _elements(metadata: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Elements of the metadata and of its `attributes`; under a name of both, both."""
    attributes = metadata.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    for name in dict.fromkeys((*metadata, *attributes)):
        values = [level[name] for level in (attributes, metadata) if name in level]
        texts = (_text(value) for value in values if not isinstance(value, (dict, list)))
        found = tuple(dict.fromkeys(texts))
        if found:
            yield name, found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
