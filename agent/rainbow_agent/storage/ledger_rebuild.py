"""What a lost ledger can be rebuilt from: the jobs that stand in the workload manager's journal.

Each Flux job of ours carries its key and its origin (the job's name, the plan's size, the task's
place and dependencies). Pure. What cannot be rebuilt stands in docs/reliability.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from rainbow_agent.core.model import FoundJob, JobKey, Origin, PlannedTask, TaskKey, TaskKind
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent

#: Notes in the ledger: the instance whose history was read last, and its lineage; that the ledger
#: is a new one in the place of one that was lost; tasks in the journal whose jobs are not planned
#: in the ledger (ledger_strays.py).
INSTANCE: Final = "instance"
LINEAGE: Final = "lineage"
REBUILD: Final = "rebuild"
STRAYS: Final = "strays"
#: The name of the task that stands for those of a job that were not seen.
REST_TASK: Final = "unknown"


@dataclass
class _Gathered:
    """What was seen of one job."""

    first: float
    origins: dict[str, Origin] = field(default_factory=dict)  # by task
    replicas: dict[str, set[int]] = field(default_factory=dict)  # by task
    groups: set[str] = field(default_factory=set)  # names of tasks

    def whole(self) -> bool:
        """Whether every replica of every task was seen."""
        total = next(iter(self.origins.values())).tasks
        return len(self.origins) == total and all(
            len(self.replicas[name]) == origin.replicas for name, origin in self.origins.items()
        )

    def strays(self, job: JobKey) -> Iterable[dict[str, Any]]:
        """All that was seen: the task's key, and the digest of the job's row."""
        for name, replicas in self.replicas.items():
            row = self.origins[name].row
            for replica in sorted(replicas):
                yield {**TaskKey(job, name, replica).to_attribute(), "row": row}

    def _unknown(self) -> str:
        """A name for what was not seen, which no other task has."""
        name = REST_TASK
        while name in self.origins:
            name += "-"
        return name

    def as_found(self, key: JobKey) -> FoundJob:
        """The job, as far as it was seen; one task more stands for all that was not.

        It is not found, cannot be submitted without a jobspec, and fails: the job of which a part
        never came to be, or is gone, must not be said to have completed.
        """
        ordered = sorted(self.origins.items(), key=lambda item: item[1].position)
        tasks = tuple(
            PlannedTask(
                name,
                max(self.replicas[name]) + 1,
                origin.depends_on,
                {},
                kind=TaskKind.GROUP if name in self.groups else TaskKind.JOB,
            )
            for name, origin in ordered
        )
        origin = ordered[0][1]
        if not self.whole():
            tasks += (PlannedTask(self._unknown(), 1, (), {}),)
        return FoundJob(
            key, origin.cluster, origin.name, self.first, tasks, origin.once, origin.row
        )


class Finds:
    """Gathers the jobs of a history that may have to be stored anew."""

    def __init__(self, ours: Callable[[JobKey, Origin], bool]) -> None:
        """`ours`: whether a job of this registration and cluster is this agent's business."""
        self._ours = ours
        self._jobs: dict[JobKey, _Gathered] = {}

    def note(self, events: Iterable[WorkloadEvent]) -> None:
        """Take in events of the history."""
        for event in events:
            if event.kind is EventKind.SUBMIT and event.key and event.origin:
                self._take(event.key, event.origin, event)

    def jobs(self) -> set[JobKey]:
        """All that were seen."""
        return set(self._jobs)

    def whole(self, missing: Iterable[JobKey]) -> list[FoundJob]:
        """Of these, the jobs of which every task was seen."""
        return [self._jobs[key].as_found(key) for key in sorted(missing) if self._jobs[key].whole()]

    def partly(self, missing: Iterable[JobKey]) -> list[FoundJob]:
        """Of these, the jobs of which tasks were not seen: they never came to be, or are gone."""
        keys = (key for key in sorted(missing) if not self._jobs[key].whole())
        return [self._jobs[key].as_found(key) for key in keys]

    def strays(self, jobs: Iterable[JobKey]) -> list[dict[str, Any]]:
        """The tasks that were seen of jobs, as they stand in the note STRAYS."""
        return [stray for key in sorted(jobs) for stray in self._jobs[key].strays(key)]

    def _take(self, key: TaskKey, origin: Origin, event: WorkloadEvent) -> None:
        if not self._ours(key.job, origin):
            return
        job = self._jobs.setdefault(key.job, _Gathered(event.time))
        job.origins.setdefault(key.task, origin)
        job.replicas.setdefault(key.task, set()).add(key.replica)
        if event.group:
            job.groups.add(key.task)


def whose(
    registrations: Collection[str], cluster: str, *, rebuilding: bool
) -> Callable[[JobKey, Origin], bool]:
    """Whose jobs to store if the ledger does not have them.

    Those of registrations that it knows, and of their numbers that came twice (`ID.2`), of which an
    older copy of the ledger may not know; after the loss of a ledger also what this cluster ran
    under earlier ones, of which only the journal knows.
    """

    def ours(job: JobKey, origin: Origin) -> bool:
        if origin.cluster != cluster:
            return False
        first = job.registration.partition(".")[0]
        return rebuilding or job.registration in registrations or first in registrations

    return ours
