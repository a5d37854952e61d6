"""Cores have the numbers that hwloc gives them, and so those of Flux's R: the real hwloc says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.hosts import make_kinds
from fixtures.hosts.make_cores import cache, cores, domains, level
from fixtures.hosts.make_parts import Tree
from rainbow_compspec.host import Host
from rainbow_compspec.probes import topology
from rainbow_compspec.probes.cpu import blocks
from support import hwloc

MISSING = hwloc.missing()
# hwloc comes with Flux
pytestmark = [pytest.mark.flux, pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")]

MACHINES: dict[str, Callable[[], Tree]] = {
    name: getattr(make_kinds, name)
    for name in (
        "four_sockets_near",
        "xeon_max_flat",
        "epyc_l3_domains",
        "harpertown",
        "opteron_modules",
        "alder_lake",
        "a64fx",
        "apple_m1",
        "gb10",
        "graviton4",
    )
}


def _ours(folder: Path) -> list[list[int]]:
    host = Host(folder)
    found = topology.read(host, blocks(host.text("/proc/cpuinfo") or ""))
    return [list(core.cpus) for core in found.cores]


@pytest.mark.parametrize("name", MACHINES)
def test_made_machines_are_numbered_as_hwloc_does(name: str, tmp_path: Path) -> None:
    """Packages near each other, shared caches, modules, clusters, memory groups."""
    tree = MACHINES[name]()
    hwloc.write(tmp_path, tree["files"], tree["uname"]["machine"])
    assert _ours(tmp_path) == hwloc.cores(tmp_path)


@st.composite
def _machines(draw: st.DrawFn) -> Mapping[str, str]:
    """Any machine of up to 24 CPUs, which the firmware numbers as it likes."""
    packages, pairs, size, threads = (draw(st.integers(1, most)) for most in (3, 2, 2, 2))
    count = packages * pairs * size * threads
    numbers = draw(st.permutations(range(count)))
    places = iter(numbers)
    groups = [[next(places) for _ in range(threads)] for _ in range(packages * pairs * size)]
    shared = _joined(groups, size)
    boards = _joined(shared, pairs)
    return {
        "/proc/cpuinfo": "processor : 0\n",
        **cores(groups, boards),
        **cache(2, 2, "1024K", shared),
        **(level("cluster", shared) if draw(st.booleans()) else {}),
        **_numa(draw, draw(st.sampled_from((shared, boards)))),
    }


def _joined(groups: Sequence[list[int]], size: int) -> list[list[int]]:
    parts = (groups[start : start + size] for start in range(0, len(groups), size))
    return [[cpu for group in part for cpu in group] for part in parts]


def _numa(draw: st.DrawFn, groups: Sequence[list[int]]) -> dict[str, str]:
    """Domains, some of them nearer to each other than to the rest."""
    count = len(groups)
    far = [[10 if a == b else 0 for b in range(count)] for a in range(count)]
    for a in range(count):
        for b in range(a):
            far[a][b] = far[b][a] = draw(st.sampled_from((16, 21, 32)))
    places = dict(enumerate(groups))
    if draw(st.booleans()):  # memory without CPUs
        row = [draw(st.sampled_from((17, 24))) for _ in range(count)]
        far = [*([*each, last] for each, last in zip(far, row, strict=True)), [*row, 10]]
        places[count] = []
    return domains(places, dict.fromkeys(places, 1), far)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files=_machines())
def test_any_machine_is_numbered_as_hwloc_does(
    files: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the firmware numbers CPUs, and whatever is near to what."""
    folder = tmp_path_factory.mktemp("machine")
    hwloc.write(folder, files, "x86_64")
    assert _ours(folder) == hwloc.cores(folder)
