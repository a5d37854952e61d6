"""A folder of node JSON, one file a node, as facts; what is damaged there stops nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rainbow_compspec import node
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.text import natural

#: How the agent names its files: one a rank. Ranks of a test instance share a host and its name.
_BY_RANK: Final = re.compile(r"node-\d+\.json")


@dataclass(frozen=True)
class NodeDir:
    """What a folder holds."""

    nodes: tuple[NodeFacts, ...]
    problems: tuple[str, ...]  # a sentence for each file that is not among the nodes


def read_node_dir(folder: Path) -> NodeDir:
    """Read every `*.json` of a folder, node-2 before node-10.

    A file that cannot be used is a problem, and so is a second file for a node: the first one
    counts. Of files that are named `node-N.json` each is a node of its own, whatever name it has.
    A node that does not say its name is called like its file.

    Raises:
        CompspecError: the folder cannot be read, or there is not one node in it.
    """
    try:
        files = sorted(folder.glob("*.json"), key=lambda path: natural(path.name))
    except OSError as exc:
        raise CompspecError(f"{folder}: cannot be read: {exc.strerror}") from exc
    nodes: list[NodeFacts] = []
    origins: dict[str, Path] = {}
    problems: list[str] = []
    for path in files:
        try:
            facts = node.to_facts(node.load(path), str(path), path.stem)
        except CompspecError as exc:
            problems.append(str(exc))
            continue
        if facts.name in origins and not _BY_RANK.fullmatch(path.name):
            problems.append(
                f"{path}: describes node {facts.name}, as {origins[facts.name].name} does; "
                "left out, since a node is counted once"
            )
            continue
        nodes.append(facts)
        origins.setdefault(facts.name, path)
    if not nodes:
        raise CompspecError(_none(folder, problems))
    return NodeDir(tuple(nodes), tuple(problems))


def _none(folder: Path, problems: list[str]) -> str:
    if not folder.is_dir():
        return f"{folder}: there is no such folder; write node JSON to it with `extract --out`"
    found = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
    return f"{folder}: no *.json in it describes a node{found}"
