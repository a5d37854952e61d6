"""From a resource tree to what Flux's jobspec version 1 (RFC 14, RFC 25) can ask for.

That is: nodes with slots in them, or slots anywhere; in each slot cores and GPUs. One process runs
in each slot.
"""

from __future__ import annotations

from dataclasses import replace

from rainbow_agent.core.shape import Shape
from rainbow_agent.jobspec.document import Resource
from rainbow_agent.jobspec.reading import MAX_COUNT
from rainbow_agent.jobspec.words import nearest, show

#: Levels that version 1 has no word for; what they hold counts, they themselves do not.
_LEVELS = frozenset({"cluster", "zone", "rack", "chassis", "socket", "numanode"})
_LEAVES = frozenset({"core", "gpu"})
#: In the order in which a person thinks of them.
_KNOWN = ("node", "slot", "core", "gpu", *sorted(_LEVELS))
#: Seen in the wild, in the specification's own text among others. (A chassis has none.)
_PLURALS = {f"{kind}s": kind for kind in _KNOWN if not kind.endswith("s")}
#: Every spelling that is understood.
TYPES = (*_KNOWN, *_PLURALS)


def shape_of(resource: Resource) -> Shape:
    """What a named resource asks Flux for.

    Raises:
        JobspecError: version 1 of Flux's jobspec cannot say it; with the vertex.
    """
    shape = _shape(resource)
    # A slot in Flux has at least one core.
    shape = replace(shape, slots=shape.slots or 1, cores=shape.cores or 1)
    if (shape.nodes or 1) * shape.slots * max(shape.cores, shape.gpus) > MAX_COUNT:
        raise resource.at.error(f"asks for more than {MAX_COUNT} of something in all")
    return shape


def resource_type(resource: Resource) -> str:
    """A vertex's type in the singular.

    Raises:
        JobspecError: Flux's jobspec version 1 cannot ask for such a thing.
    """
    kind = _PLURALS.get(resource.type, resource.type)
    if kind not in _KNOWN:
        near = nearest(kind, _KNOWN)
        hint = f"did you mean {show(near)}?" if near else "ask for nodes, slots, cores and GPUs"
        raise resource.at.error(f"Flux's jobspec cannot ask for {show(resource.type)}; {hint}")
    return kind


def _shape(vertex: Resource) -> Shape:
    kind = resource_type(vertex)
    if vertex.exclusive and kind != "node":
        raise vertex.at.error("`exclusive` is for nodes; write it there")
    if kind in _LEAVES:
        return _leaf(vertex, kind)
    inner = _inside(vertex)
    if kind == "node":
        return _node(vertex, inner)
    if kind == "slot":
        return _slot(vertex, inner)
    return _level(vertex, kind, inner)


def _number(vertex: Resource) -> int:
    return vertex.count or vertex.replicas or 1


def _leaf(vertex: Resource, kind: str) -> Shape:
    if vertex.children:
        raise vertex.at.error(f"a {kind} holds nothing that can be asked for; drop its `with`")
    slots, each = (vertex.replicas, 1) if vertex.replicas else (0, _number(vertex))
    return Shape(slots=slots, cores=each) if kind == "core" else Shape(slots=slots, gpus=each)


def _inside(vertex: Resource) -> Shape:
    """What a vertex holds, all of it together."""
    shapes = [_shape(child) for child in vertex.children]
    placed = [c for c, s in zip(vertex.children, shapes, strict=True) if s.nodes or s.slots]
    if placed and len(shapes) > 1:
        raise placed[0].at.error(
            "a node or slot cannot stand beside other resources in Flux's jobspec; put what "
            "belongs to it under its `with`"
        )
    if placed:
        return shapes[0]
    return Shape(
        cores=sum(s.cores for s in shapes),
        gpus=sum(s.gpus for s in shapes),
        flattened=tuple(t for s in shapes for t in s.flattened),
    )


def _node(vertex: Resource, inner: Shape) -> Shape:
    if inner.nodes:
        raise vertex.at.error("a node cannot hold nodes")
    whole = vertex.exclusive or not vertex.children
    if vertex.replicas:
        _refuse_slot_in_slot(vertex, inner)
        if not whole:
            return replace(inner, slots=vertex.replicas)
    return replace(inner, nodes=_number(vertex), slots=inner.slots or 1, exclusive=whole)


def _slot(vertex: Resource, inner: Shape) -> Shape:
    _refuse_slot_in_slot(vertex, inner)
    if inner.nodes > 1 or (inner.nodes and inner.slots > 1):
        raise vertex.at.error(
            "a slot over several nodes, or over slots, cannot be said in Flux's jobspec; write the "
            "node first, with the slot in it"
        )
    if inner.nodes:
        return inner.times(_number(vertex))
    return replace(inner, slots=_number(vertex))


def _level(vertex: Resource, kind: str, inner: Shape) -> Shape:
    if not vertex.children:
        raise vertex.at.error(f"a {kind} of nothing; write what is needed of it under `with`")
    if vertex.replicas and not inner.nodes:
        _refuse_slot_in_slot(vertex, inner)
        return replace(inner, slots=vertex.replicas)
    # `rack`, `replicas: 1` is how upstream writes "N nodes"; it does not mean one rack.
    lost = () if vertex.replicas or kind == "cluster" else (kind,)
    return replace(inner.times(_number(vertex)), flattened=(*lost, *inner.flattened))


def _refuse_slot_in_slot(vertex: Resource, inner: Shape) -> None:
    if inner.slots and not inner.nodes:
        raise vertex.at.error("a slot (`replicas`, or type slot) in a slot; keep one of them")
