"""Who waits for whom: names to places, bounds, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rainbow_agent.jobspec.dag import Cycle, topological
from rainbow_agent.jobspec.document import Reference, Task
from rainbow_agent.jobspec.words import show, suggestion

#: Flux jobs that one jobspec may become; each is a row in the ledger.
MAX_RUNS = 100_000
#: `afterok` entries in all Flux jobs of one jobspec: every replica waits for every replica.
MAX_EDGES = 1_000_000
#: Names of a cycle that its error tells; the rest is counted.
_TOLD = 10


def unique_names(written: list[str | None]) -> list[str]:
    """Names that are each used once: as written where they are, made up where they are not."""
    taken = {name for name in written if name is not None}
    used: set[str] = set()
    names = []
    counts: dict[str, int] = {}
    for i, name in enumerate(written):
        base = name if name is not None else f"task-{i}"
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


def dependencies(tasks: Sequence[Task]) -> list[list[int]]:
    """For each task, the places of those it depends on, each once, in the order written.

    Raises:
        JobspecError: a name that no task has, or more than one.
    """
    places: dict[str, list[int]] = {}
    for i, task in enumerate(tasks):
        if task.name is not None:
            places.setdefault(task.name, []).append(i)
    return [
        list(dict.fromkeys(_place(reference, places) for reference in task.depends_on))
        for task in tasks
    ]


def _place(reference: Reference, places: Mapping[str, Sequence[int]]) -> int:
    named = places.get(reference.name, ())
    if not named:
        raise reference.at.error(
            f"no task is named {show(reference.name)}; {suggestion(reference.name, places)}"
        )
    if len(named) > 1:
        raise reference.at.error(
            f"{show(reference.name)} is the name of {len(named)} tasks (tasks[{named[0]}] and "
            f"tasks[{named[1]}]); give each its own, so that it is clear which one to wait for"
        )
    return named[0]


def check_size(tasks: Sequence[Task], needs: Sequence[Sequence[int]]) -> None:
    """Refuse what would drown the ledger or Flux, before anything of that size is made.

    Raises:
        JobspecError: more than MAX_RUNS jobs, or more than MAX_EDGES dependencies.
    """
    runs = edges = 0
    for task, needed in zip(tasks, needs, strict=True):
        runs += task.replicas
        edges += task.replicas * sum(tasks[i].replicas for i in needed)
        if runs > MAX_RUNS:
            raise task.at.error(
                f"with this task's replicas the jobspec is more than {MAX_RUNS:,} jobs; split it"
            )
        if edges > MAX_EDGES:
            raise task.at.error(
                f"with this task's `depends_on` the jobspec has more than {MAX_EDGES:,} "
                "dependencies, as each replica waits for every replica; put one task between them"
            )


def run_order(tasks: Sequence[Task], needs: Sequence[Sequence[int]]) -> list[int]:
    """The places of the tasks, each after all that it depends on, else as in the file.

    Raises:
        JobspecError: some depend on each other in a circle; with their names in order.
    """
    try:
        return topological(needs)
    except Cycle as cycle:
        first = tasks[cycle.nodes[0]]
        names = [show(tasks[i].name or "") for i in cycle.nodes[:_TOLD]]
        if len(cycle.nodes) > _TOLD:
            names.append(f"({len(cycle.nodes) - _TOLD} more)")
        told = " -> ".join([*names, names[0]])
        raise first.at.error(
            f"tasks depend on each other in a circle: {told} (each waits for the next); take one "
            "`depends_on` out"
        ) from None
