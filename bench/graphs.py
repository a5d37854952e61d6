"""From node JSON to the bytes that go to rainbow: 1,000 nodes, and how it grows to 10,000."""

from __future__ import annotations

from collections.abc import Iterator

from bench import compspec_graph
from bench.figures import Figure
from bench.site import Site

#: Nodes, and the goals: seconds and MiB (None: shown, not promised).
SIZES: tuple[tuple[int, float | None, float | None], ...] = (
    (1_000, 2.0, 300.0),
    (10_000, None, None),
)


def measure(site: Site) -> Iterator[Figure]:
    """Nodes of 128 cores and 8 GPUs with 300 packages, all subsystems included."""
    for nodes, seconds, memory in SIZES[: site.pick(None, 1)]:
        row = compspec_graph.size(nodes)
        what = f"node JSON to bytes, {nodes:,} nodes"
        yield Figure(what, row.total, "s", seconds, note=row.form)
        yield Figure(f"{what}, peak memory", row.peak, "MiB", memory)
