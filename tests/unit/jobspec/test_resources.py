"""Resource trees to what Flux's jobspec version 1 can ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.shape import Shape
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.resources import shape_of

Vertex = dict[str, Any]


def shape(vertex: Vertex) -> Shape:
    """The shape of a resource, written as JSON in a line of YAML."""
    return shape_of(parse(f"version: 1\nresources: {json.dumps({'r': vertex})}\n").resources["r"])


def some(kind: str, number: int, *inside: Vertex, **more: Any) -> Vertex:
    """A vertex with a count."""
    return {"type": kind, "count": number, "with": list(inside) or None, **more}


def slots(kind: str, number: int, *inside: Vertex, **more: Any) -> Vertex:
    """A vertex with replicas."""
    return {"type": kind, "replicas": number, "with": list(inside) or None, **more}


def core(count: int) -> Vertex:
    """Cores."""
    return some("core", count)


def gpu(count: int) -> Vertex:
    """GPUs."""
    return some("gpu", count)


@pytest.mark.parametrize(
    ("vertex", "expected"),
    [
        # count: so many nodes, one slot in each
        (some("node", 1, core(10)), Shape(1, 1, 10)),
        (some("node", 4, core(8), gpu(2)), Shape(4, 1, 8, 2)),
        (some("nodes", 2, some("cores", 4)), Shape(2, 1, 4)),
        (some("node", 2, some("gpus", 1)), Shape(2, 1, 1, 1)),
        # nothing below a node, or exclusive: whole nodes
        (some("node", 2), Shape(2, 1, 1, exclusive=True)),
        (slots("node", 2), Shape(2, 1, 1, exclusive=True)),
        (some("node", 1, core(2), exclusive=True), Shape(1, 1, 2, exclusive=True)),
        # replicas: so many slots, anywhere
        (slots("node", 4, core(4)), Shape(0, 4, 4)),
        (slots("core", 4), Shape(0, 4, 1)),
        (slots("socket", 2, core(4)), Shape(0, 2, 4)),
        # no node at all: one slot, anywhere
        (core(4), Shape(0, 1, 4)),
        (gpu(2), Shape(0, 1, 1, 2)),
        # slots that are written
        (some("slot", 3, core(2)), Shape(0, 3, 2)),
        (slots("slot", 3), Shape(0, 3, 1)),
        (some("node", 2, some("slot", 3, core(2))), Shape(2, 3, 2)),
        (some("node", 2, slots("core", 3)), Shape(2, 3, 1)),
        (some("slot", 3, some("node", 1, core(2))), Shape(3, 1, 2)),
        # levels that Flux has no word for
        (slots("rack", 1, some("node", 2, core(1))), Shape(2, 1, 1)),
        (some("cluster", 1, some("node", 2)), Shape(2, 1, 1, exclusive=True)),
        (some("rack", 2, some("node", 4, core(1))), Shape(8, 1, 1, flattened=("rack",))),
        (
            some("node", 2, some("socket", 2, core(8), gpu(1))),
            Shape(2, 1, 16, 2, flattened=("socket",)),
        ),
        (
            some("node", 2, some("socket", 2, core(8)), gpu(1)),
            Shape(2, 1, 16, 1, flattened=("socket",)),
        ),
        (some("node", 1, slots("socket", 2, core(4))), Shape(1, 2, 4)),
    ],
)
def test_shapes(vertex: Vertex, expected: Shape) -> None:
    """The mapping table of docs/jobspec.md."""
    assert shape(vertex) == expected


@pytest.mark.parametrize(
    ("vertex", "path", "error"),
    [
        (some("node", 1, some("memory", 4)), "r.with[0]", "cannot ask for 'memory'; ask for"),
        (some("nod", 1), "r", "Flux's jobspec cannot ask for 'nod'; did you mean 'node'?"),
        (some("core", 1, exclusive=True), "r", "`exclusive` is for nodes"),
        (some("core", 1, gpu(1)), "r", "a core holds nothing that can be asked for"),
        (some("node", 1, some("node", 1)), "r", "a node cannot hold nodes"),
        (some("rack", 1, some("node", 1), some("node", 2)), "r.with[0]", "cannot stand beside"),
        (some("node", 1, gpu(1), some("slot", 2)), "r.with[1]", "cannot stand beside"),
        (some("slot", 2, some("slot", 1)), "r", "in a slot; keep one"),
        (slots("node", 2, slots("core", 1)), "r", "in a slot; keep one"),
        (slots("rack", 2, slots("core", 1)), "r", "in a slot; keep one"),
        (some("slot", 1, some("node", 2)), "r", "a slot over several nodes, or over slots"),
        (some("slot", 1, some("node", 1, some("slot", 2))), "r", "a slot over several nodes, or"),
        (some("rack", 1), "r", "a rack of nothing; write what is needed of it under `with`"),
        (some("node", 65536, core(65536)), "r", "asks for more than 2147483647 of something"),
    ],
)
def test_what_flux_cannot_say_is_refused_by_name(vertex: Vertex, path: str, error: str) -> None:
    """Nothing is dropped in silence: the vertex that cannot be asked for is named."""
    with pytest.raises(JobspecError) as caught:
        shape(vertex)
    assert str(caught.value).startswith(f"resources.{path} (line 2, column ")
    assert error in str(caught.value)


def trees() -> st.SearchStrategy[Vertex]:
    """Resource trees of every type, with small numbers."""
    kinds = st.sampled_from(["node", "slot", "core", "gpu", "rack", "socket", "cores", "memory"])

    def vertex(inside: st.SearchStrategy[list[Vertex]]) -> st.SearchStrategy[Vertex]:
        return st.builds(
            lambda make, kind, number, held: make(kind, number, *held),
            st.sampled_from([some, slots]),
            kinds,
            st.integers(1, 4),
            inside,
        )

    leaves = vertex(st.just([]))
    return st.recursive(leaves, lambda inner: vertex(st.lists(inner, max_size=3)), max_leaves=6)


@given(trees())
def test_a_tree_has_a_shape_that_flux_takes_or_is_refused(tree: Vertex) -> None:
    """Every number of a shape is one that RFC 25 allows."""
    try:
        found = shape(tree)
    except JobspecError:
        return
    assert found.slots >= 1
    assert found.cores >= 1
    assert found.gpus >= 0
    assert found.nodes >= 1 or not found.exclusive
