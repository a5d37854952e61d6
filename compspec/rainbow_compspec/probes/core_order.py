"""The order in which hwloc numbers cores, and so the numbers that Flux's R has. Pure functions.

hwloc puts what holds several cores together (packages, NUMA domains, dies, clusters, shared caches,
domains that are near each other) into one tree, leaves out what would cross something that is there
already, sorts the children of everything by their lowest CPU, and numbers the cores from left to
right (hwloc manual: "Terms and Definitions", "Grouping objects by distances").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Cpus = frozenset[int]

Distances = Mapping[int, Mapping[int, int]]
"""NUMA domain -> NUMA domain -> distance, as the firmware's table (ACPI SLIT) has it."""


def ordered(cores: Sequence[Cpus], holders: Iterable[Cpus]) -> list[Cpus]:
    """Puts cores into hwloc's order.

    Args:
        cores: the CPUs of each core; no two of them have one in common.
        holders: the CPUs of everything that may hold several cores. Of two that cross each other
            the one that comes first counts.
    """
    above: dict[Cpus, list[Cpus]] = {core: [] for core in cores}
    for holder in _nested(cores, holders):
        for core in cores:
            if core <= holder:
                above[core].append(holder)

    def way_down(core: Cpus) -> list[int]:
        """The lowest CPU of everything around a core, outermost first."""
        return [*(min(holder) for holder in sorted(above[core], key=len, reverse=True)), min(core)]

    return sorted(cores, key=way_down)


def _nested(cores: Sequence[Cpus], holders: Iterable[Cpus]) -> list[Cpus]:
    """Returns the holders of more than one core that fit into a tree with those before them."""
    sizes = {cpu: len(core) for core in cores for cpu in core}
    firsts = {min(core): len(core) for core in cores}
    kept: list[Cpus] = []
    for holder in dict.fromkeys(holders):
        whole = sum(firsts.get(cpu, 0) for cpu in holder) == sum(
            1 for cpu in holder if cpu in sizes
        )
        several = any(len(holder) > sizes[cpu] for cpu in holder if cpu in sizes)
        if whole and several and all(_fits(holder, other) for other in kept):
            kept.append(holder)
    return kept


def _fits(one: Cpus, other: Cpus) -> bool:
    return one.isdisjoint(other) or one <= other or other <= one


def with_nearest(domains: Mapping[int, Cpus], distances: Distances) -> dict[int, Cpus]:
    """Gives memory without CPUs those of the domains that it is nearest to.

    Not where it is as far from all of them: then it belongs to none.
    """
    found = dict(domains)
    for name in (name for name, cpus in domains.items() if not cpus):
        row = distances.get(name, {})
        others = {other: row[other] for other in domains if other != name and other in row}
        least = min(others.values(), default=0)
        nearest = [other for other, far in others.items() if far == least]
        if least > row.get(name, 0) and len(nearest) < len(others):
            found[name] = frozenset().union(*(domains[other] for other in nearest))
    return found


def near_each_other(domains: Mapping[int, Cpus], distances: Distances) -> list[Cpus]:
    """Returns the CPUs of NUMA domains that are nearer to each other than to the rest.

    Domains at the smallest distance of the table are one group, also by way of a third; groups
    are grouped again by the mean distance between their members. A table that is not symmetric,
    or in which a domain is not nearest to itself, groups nothing.

    Args:
        domains: NUMA domain -> its CPUs; empty for memory without CPUs.
        distances: the table; nothing is grouped unless it has every domain.
    """
    names = sorted(domains)
    if any(other not in distances.get(name, {}) for name in names for other in names):
        return []
    table = [[distances[name][other] for other in names] for name in names]
    if not _sound(table):
        return []
    return _grouped([domains[name] for name in names], [[float(x) for x in row] for row in table])


def _sound(table: Sequence[Sequence[int]]) -> bool:
    places = range(len(table))
    return all(
        table[a][b] == table[b][a] and table[a][b] > table[a][a]
        for a in places
        for b in places
        if a < b
    )


def _grouped(members: Sequence[Cpus], table: Sequence[Sequence[float]]) -> list[Cpus]:
    if len(members) <= 2:  # two domains have one distance: nothing is nearer
        return []
    groups = _nearest(table)
    if not groups or len(groups[0]) == len(members):
        return []
    found = [frozenset().union(*(members[place] for place in group)) for group in groups]
    between = [
        [
            float(sum(table[a][b] for a in one for b in other) // (len(one) * len(other)))
            for other in groups
        ]
        for one in groups
    ]
    return found + _grouped(found, between)


def _nearest(table: Sequence[Sequence[float]]) -> list[list[int]]:
    """Returns the places that are joined by the smallest distance, as groups of two and more."""
    places = range(len(table))
    smallest = min(table[a][b] for a in places for b in places if a != b)
    groups: list[list[int]] = []
    seen: set[int] = set()
    for start in places:
        if start in seen:
            continue
        group = [start]
        for place in group:  # grows as we go
            group += [
                other
                for other in places
                if other != place
                and other not in group
                and other not in seen
                and table[place][other] == smallest
            ]
        if len(group) > 1:
            groups.append(sorted(group))
            seen.update(group)
    return groups
