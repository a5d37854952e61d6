"""Who waits for whom: names to places, bounds, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.dag import Cycle, topological
from rainbow_agent.jobspec.document import Reference
from rainbow_agent.jobspec.places import Place
from rainbow_agent.jobspec.reading import Faults
from rainbow_agent.jobspec.words import show, suggestion

#: Flux jobs that one jobspec may become; each is a row in the ledger.
MAX_RUNS = 100_000
#: `afterok` entries in all Flux jobs of one jobspec: every replica waits for every replica.
MAX_EDGES = 1_000_000
#: Names of a cycle that its error tells; the rest is counted.
_MAX_NAMES = 10
#: Circles of one group that are looked for; each takes a walk over all of its tasks.
_MAX_CIRCLES = 20


def unique_names(written: Sequence[str | None], defaults: Sequence[str] = ()) -> list[str]:
    """Names that are each used once: as written where they are, made up where they are not.

    Args:
        written: the names; None where there is none.
        defaults: what to call those without; empty for `task-N`, N the place from 0.
    """
    taken = {name for name in written if name is not None}
    used: set[str] = set()
    names = []
    counts: dict[str, int] = {}
    for i, name in enumerate(written):
        base = name if name is not None else defaults[i] if defaults else f"task-{i}"
        unique = base
        if base in used or (name is None and base in taken):
            number = counts.get(base, 1)
            while unique in used or unique in taken:
                number += 1
                unique = f"{base}#{number}"
            counts[base] = number
        used.add(unique)
        names.append(unique)
    return names


def dependencies(places: Sequence[Place], faults: Faults, where: str = "") -> list[list[int]]:
    """For each place, the numbers of those it depends on, each once, in the order written.

    Args:
        places: what stands side by side; a name can only be one of theirs.
        faults: where a name goes that none of them has, or more than one; the others count.
        where: the group that they are in, for errors; "" for the top level.
    """
    named: dict[str, list[int]] = {}
    for i, place in enumerate(places):
        for name in {place.name, place.alias} - {None}:
            named.setdefault(str(name), []).append(i)
    needs = []
    for i, place in enumerate(places):
        found = (faults.attempt(_number, r, named, places, where) for r in place.depends_on)
        written = [number for number in found if number is not None]
        needs.append(list(dict.fromkeys([*([i - 1] if place.after_previous else []), *written])))
    return needs


def _number(
    reference: Reference,
    named: Mapping[str, Sequence[int]],
    places: Sequence[Place],
    where: str,
) -> int:
    found = named.get(reference.name, ())
    if not found:
        inside = f" in group {show(where)}" if where else ""
        raise reference.at.error(
            f"no task{inside} is named {show(reference.name)}; {suggestion(reference.name, named)}"
        )
    if len(found) > 1:
        first, second = (places[i].at.path for i in found[:2])
        raise reference.at.error(
            f"{show(reference.name)} is the name of {len(found)} tasks ({first} and {second}); "
            "give each its own, so that it is clear which one to wait for"
        )
    return found[0]


@dataclass
class Size:
    """How much a jobspec is, at all depths together."""

    runs: int = 0
    edges: int = 0
    _refused: bool = False

    def add(self, places: Sequence[Place], needs: Sequence[Sequence[int]]) -> None:
        """Refuse what would drown the ledger or Flux, before anything of that size is made.

        Raises:
            JobspecError: more than MAX_RUNS jobs, or more than MAX_EDGES dependencies; once.
        """
        for place, needed in zip(places, needs, strict=True) if not self._refused else ():
            self.runs += place.replicas
            self.edges += place.replicas * sum(places[i].replicas for i in needed)
            self._refused = self.runs > MAX_RUNS or self.edges > MAX_EDGES
            if self.runs > MAX_RUNS:
                raise place.at.error(
                    f"with this task's replicas the jobspec is more than {MAX_RUNS:,} jobs; "
                    "split it"
                )
            if self.edges > MAX_EDGES:
                raise place.at.error(
                    f"with this task's `depends_on` the jobspec has more than {MAX_EDGES:,} "
                    "dependencies, as each replica waits for every replica; put one task between "
                    "them"
                )


def run_order(
    places: Sequence[Place], needs: Sequence[Sequence[int]], faults: Faults
) -> Sequence[int]:
    """The numbers of the places, each after all that it depends on, else as in the file.

    A circle goes to `faults`, with its names in order; of those that have a task in common one.
    """
    left = list(needs)
    for _ in range(_MAX_CIRCLES):
        try:
            return topological(left)
        except Cycle as cycle:
            faults.found.append(_circle(places, cycle.nodes))
            for node in cycle.nodes:
                left[node] = ()
    return range(len(places))


def _circle(places: Sequence[Place], nodes: Sequence[int]) -> JobspecError:
    names = [show(places[i].name or "") for i in nodes[:_MAX_NAMES]]
    if len(nodes) > _MAX_NAMES:
        names.append(f"({len(nodes) - _MAX_NAMES} more)")
    circle = " -> ".join([*names, names[0]])
    return places[nodes[0]].at.error(
        f"tasks depend on each other in a circle: {circle} (each waits for the next); take one "
        "`depends_on` out"
    )


def in_place_order(places: Sequence[Place], order: Sequence[int]) -> dict[int, list[int]]:
    """What of a group waits for the end, good or bad, of what stands before it.

    A local task, or a stage, blocks the tasks after it as a line of a batch script does, and
    starts when those before it have ended: so a service is stopped after its last user. A task
    that says by `depends_on` what it waits for waits for nothing else; `depends_on: []` starts at
    once.

    Args:
        places: what is side by side in the group.
        order: their numbers in the order of the plan.
    """
    after: dict[int, list[int]] = {}
    barrier: list[int] = []
    since: list[int] = []
    for number in order:
        place = places[number]
        if place.placed or (place.after_previous and not place.in_place):
            since.append(number)
        elif place.in_place:
            after[number] = [*barrier, *since]
            barrier, since = [number], []
        else:
            after[number] = barrier
            since.append(number)
    return {number: before for number, before in after.items() if before}
