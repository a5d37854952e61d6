"""Hypothesis strategies for machines, for tests of any package. Needs the `dev` extra."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from rainbow_compspec.cluster import UNKNOWN_SOCKET
from rainbow_compspec.facts import Core, Gpu, NodeFacts, Package, Port

# Chosen from lists rather than made of characters: drawing a machine has to be quick.
_names = st.sampled_from(["blue-0", "blue-1", "blue-01", "blue-1-1", "login", "n", "7"])
#: What a vendor may write, quotes, backslashes and letters of other alphabets among it.
_texts = st.sampled_from(
    ["", "H100", 'a "quoted" \\ name', "Gr\u00f6\u00dfe \u65e5\u672c", "\x01\n"]
)
_versions = st.sampled_from(["develop", "1.1.1w", "2023-04-01", "9e", "3.9.0", "3.10.0", "2"])
_numas = st.none() | st.integers(0, 3)


def _numbered_cores(places: list[tuple[int, int | None]]) -> tuple[Core, ...]:
    return tuple(Core(number, socket, numa) for number, (socket, numa) in enumerate(places))


def _numbered_gpus(numas: list[int | None], vendor: str, model: str) -> tuple[Gpu, ...]:
    return tuple(
        Gpu(index, vendor, model, uuid=f"GPU-{index}", numa=numa)
        for index, numa in enumerate(numas)
    )


_cores = st.lists(st.tuples(st.integers(UNKNOWN_SOCKET, 2), _numas), max_size=8).map(
    _numbered_cores
)
_gpus = st.builds(
    _numbered_gpus,
    st.lists(_numas, max_size=4),
    st.sampled_from(["", "nvidia", "amd"]),
    _texts,
)
_packages = st.lists(
    st.builds(
        Package,
        name=st.sampled_from(["ior", "zlib-ng", "size", "type", "name"]),
        version=_versions,
        hash=st.sampled_from(["", "abc"]),
    ),
    max_size=5,
).map(tuple)


_ports = st.lists(
    st.builds(
        Port,
        adapter=st.just("mlx5_0"),
        kind=st.sampled_from(["infiniband", "roce"]),
        gbps=st.none() | st.integers(1, 800),
    ),
    max_size=2,
).map(tuple)


def nodes() -> st.SearchStrategy[NodeFacts]:
    """Any node, without a rank."""
    return st.builds(
        NodeFacts,
        name=_names,
        arch=st.sampled_from(["", "amd64", "arm64"]),
        vendor=_texts,
        model=_texts,
        target=st.sampled_from(["", "zen3", "neoverse_v1", "of-tomorrow"]),
        cores=_cores,
        gpus=_gpus,
        memory=st.none() | st.integers(0, 1 << 45),
        packages=_packages,
        rack=st.sampled_from(["", "", "r1", "r2"]),
        rdma=st.none() | _ports,
        os=st.dictionaries(st.sampled_from(["name", "version", "release"]), _texts),
        mpi=st.dictionaries(st.sampled_from(["implementation", "version"]), _texts),
    )


@st.composite
def machines(draw: st.DrawFn) -> tuple[NodeFacts, ...]:
    """The nodes of any machine: few kinds, some names twice, with ranks or without."""
    kinds = draw(st.lists(nodes(), min_size=1, max_size=3))
    found = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=8))
    if draw(st.booleans()):
        return tuple(found)
    ranks = draw(st.lists(st.integers(0, 99), min_size=8, max_size=8, unique=True))
    return tuple(replace(facts, rank=rank) for facts, rank in zip(found, ranks, strict=False))
