"""A cluster as a tree for people; nodes that are alike stand in one branch: blue-[0-999]."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rainbow_compspec.cluster import ClusterGraph, Shape
from rainbow_compspec.facts import NodeFacts, Package
from rainbow_compspec.jgf import ROOT, Graph
from rainbow_compspec.outline import NODE
from rainbow_compspec.text import GIB, natural, printable

#: How many packages are named; the others are counted.
_NAMED = 6
_ORDER = {"rack": 0, "node": 1, "socket": 2, "core": 3, "gpu": 4}


@dataclass(frozen=True, slots=True)
class Piece:
    """Something inside a node. `parent` is its place in the list; None: the node itself."""

    type: str
    size: int
    parent: int | None


def render(graph: Graph) -> str:
    """The tree as lines of text.

    Args:
        graph: from `cluster_graph` with software, or from a file with what is in it.
    """
    if isinstance(graph, ClusterGraph):
        title, nodes = graph.cluster, _described(graph)
    else:
        title, nodes = _title(graph), _found(graph)
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, lines in sorted(nodes, key=lambda node: natural(node[0])):
        alike.setdefault(lines, []).append(name)
    tree = [f"{title}: {_amounts(graph.counts())}", *_branches(alike)]
    return "".join(f"{printable(line)}\n" for line in tree)


def _branches(alike: Mapping[tuple[str, ...], list[str]]) -> Iterator[str]:
    for place, (lines, names) in enumerate(alike.items(), 1):
        last = place == len(alike)
        each = f" ({len(names):,} nodes, each with)" if len(names) > 1 else ""
        yield f"{'└── ' if last else '├── '}{compress(names)}{each}"
        for number, line in enumerate(lines, 1):
            yield f"{'    ' if last else '│   '}{'└── ' if number == len(lines) else '├── '}{line}"


def _described(graph: ClusterGraph) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each node's name and lines; nodes of one shape are looked at once."""
    inside: dict[int, tuple[str, ...]] = {}
    for facts, shape in zip(graph.nodes, graph.shapes, strict=True):
        if id(shape) not in inside:
            inside[id(shape)] = _inside(_pieces(shape))
        yield facts.name, (*inside[id(shape)], *_about(facts))


def _pieces(shape: Shape) -> list[Piece]:
    return [Piece(part.type, 1, part.parent) for part in shape.parts]


def _about(facts: NodeFacts) -> Iterator[str]:
    """What a node is and has beside cores and GPUs, a line each."""
    if facts.model or facts.target or facts.arch:
        kind = ", ".join(filter(None, (facts.arch, facts.target)))
        yield f"{facts.model} ({kind})" if facts.model and kind else facts.model or kind
    models = Counter(gpu.model or gpu.vendor for gpu in facts.gpus)
    yield from (f"{_amount(count, 'gpu')}: {model}" for model, count in models.items() if model)
    if facts.memory:
        yield f"{round(facts.memory / GIB):,} GiB of memory"
    system = " ".join(filter(None, (facts.os.get("name"), facts.os.get("version"))))
    if system:
        yield system
    if facts.mpi.get("implementation"):
        yield f"{facts.mpi['implementation']} {facts.mpi.get('version', '')}".strip()
    if facts.packages:
        yield _software(facts.packages)


def _software(packages: Sequence[Package]) -> str:
    """The number of packages, and the names of those that someone asked for."""
    wanted = [f"{each.name} {each.version}" for each in packages if each.explicit]
    more = f", and {len(wanted) - _NAMED} more" if len(wanted) > _NAMED else ""
    names = f": {', '.join(wanted[:_NAMED])}{more}" if wanted else ""
    return f"spack: {len(packages):,} package{'s' * (len(packages) != 1)}{names}"


def _title(graph: Graph) -> str:
    root = next((vertex for vertex in graph.vertices() if vertex.id == ROOT), None)
    return str(root.metadata.get("basename", "cluster")) if root else "cluster"


def _found(graph: Graph) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each node's name and lines, from the vertices alone."""
    vertices = {vertex.id: vertex for vertex in graph.vertices()}
    children: dict[str, list[str]] = {}
    for edge in graph.edges():
        children.setdefault(edge.source, []).append(edge.target)
    for id_, vertex in vertices.items():
        if vertex.type != NODE:
            continue
        pieces: list[Piece] = []
        open_: list[tuple[str, int | None]] = [(child, None) for child in children.get(id_, ())]
        for child, parent in open_:  # grows as we go down
            part = vertices[child]
            open_ += [(below, len(pieces)) for below in children.get(child, ())]
            pieces.append(Piece(part.type, part.size, parent))
        yield str(vertex.metadata.get("name", f"node{id_}")), _inside(pieces)


def _inside(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """A line for each kind of socket, and one for what is directly in the node."""
    sums: dict[int, Counter[str]] = {}
    loose: Counter[str] = Counter()
    tops: list[int] = []
    for place, piece in enumerate(pieces):
        top = piece.parent
        tops.append(place if top is None else tops[top])
        if top is not None:
            sums.setdefault(tops[place], Counter())[piece.type] += piece.size
    for place, piece in enumerate(pieces):
        if piece.parent is None and place not in sums:
            loose[piece.type] += piece.size
    alike = Counter((pieces[place].type, _amounts(counts)) for place, counts in sums.items())
    holders = (
        f"{_amount(count, type_)}{' with' if count == 1 else ', each with'} {amounts}"
        for (type_, amounts), count in alike.items()
    )
    return (*holders, *([_amounts(loose)] if loose else []))


def _amounts(counts: Mapping[str, int]) -> str:
    types = sorted(counts.keys() - {"cluster"}, key=lambda type_: (_ORDER.get(type_, 9), type_))
    shown = [_amount(counts[type_], type_) for type_ in types]
    return ", ".join(shown) or "nothing"


def _amount(count: int, type_: str) -> str:
    word = "GPU" if type_ == "gpu" else type_
    return f"{count:,} {word}{'s' * (count != 1)}"


def compress(names: Iterable[str]) -> str:
    """Host names in brackets: `blue-[0-2,7]`, as Flux and others write them (RFC 29)."""
    digits: dict[tuple[str, str], set[str]] = {}
    plain: dict[str, None] = {}
    for name in names:
        found = re.fullmatch(r"(.*?)(\d+)(\D*)", name)
        if found is None:
            plain[name] = None
        else:
            digits.setdefault((found[1], found[3]), set()).add(found[2])
    ranges = (
        f"{before}{_numbers(map(int, texts), width)}{after}"
        for (before, after), found in digits.items()
        for width, texts in _by_width(found).items()
    )
    return ",".join([*plain, *ranges])


def _by_width(texts: Iterable[str]) -> dict[int, list[str]]:
    """Numbers by the width that they are filled up to with zeros; 0: they are not."""
    found = sorted(texts, key=lambda text: (len(text), text))
    filled = {len(text) for text in found if text.startswith("0") and len(text) > 1}
    widths: dict[int, list[str]] = {}
    for text in found:
        widths.setdefault(len(text) if len(text) in filled else 0, []).append(text)
    return widths


def _numbers(numbers: Iterable[int], width: int = 0) -> str:
    """`[0-2,7]`; a single number stands without brackets."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [
        f"{first:0{width}}" if first == last else f"{first:0{width}}-{last:0{width}}"
        for first, last in runs
    ]
    lone = len(runs) == 1 and runs[0][0] == runs[0][1]
    return texts[0] if lone else f"[{','.join(texts)}]"
