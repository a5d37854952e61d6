"""For tests: many small random jobs, while what handles them is killed again and again.

Each command writes a line when it begins and one at its end, with its job id in the workload
manager and a word for the instance that it was submitted to, so that running twice would show.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.model import JobRow, TaskKey, TaskRow
from rainbow_agent.core.notation import parse_f58
from rainbow_agent.core.states import FINAL_TASK_STATES, JobState, TaskState
from support.evidence import Record, times_submitted
from support.fleet import jobspec, task
from support.groups import Node

#: In the environment of the agent, and so of the jobs that it submits: which instance this is.
INSTANCE: Final = "STORM_INSTANCE"
_SCRIPT: Final = """\
echo "+ $1 $FLUX_JOB_ID ${STORM_INSTANCE:-0}" >> "$2"
[ "$3" = 0 ] || sleep "$3"
echo "- $1 $FLUX_JOB_ID ${STORM_INSTANCE:-0}" >> "$2"
exit "$4"
"""


@dataclass(frozen=True)
class Line:
    """What a command wrote."""

    begins: bool
    task: str  # JOB/TASK
    flux_id: int
    instance: int


def random_job(rng: random.Random, *, replicas: bool = True) -> list[Node]:
    """The tasks of a small job; each may depend on some of those before it, some fail or last."""
    nodes: list[Node] = []
    for number in range(rng.choice([1, 1, 2, 3, 4])):
        before = [node["name"] for node in nodes]
        nodes.append(
            {
                "name": f"n{number}",
                "kind": "bad" if rng.random() < 0.1 else "job",
                "needs": rng.sample(before, rng.randint(0, min(2, len(before)))),
                "replicas": rng.choice([1, 1, 2]) if replicas else 1,
                "seconds": rng.choice([0, 0, 0, 0, 0.1, 0.3]),
            }
        )
    return nodes


def document(name: str, nodes: Sequence[Node], marks: Path) -> dict[str, Any]:
    """The jobspec of a job, its tasks written last first."""
    tasks = [
        task(
            [
                *("sh", "-c", _SCRIPT, "sh", f"{name}/{node['name']}", str(marks)),
                *(str(node["seconds"]), "1" if node["kind"] == "bad" else "0"),
            ],
            node["name"],
            depends_on=node["needs"],
            replicas=node["replicas"],
        )
        for node in nodes
    ]
    return jobspec(*reversed(tasks), name=name)


def read(lines: Iterable[str]) -> list[Line]:
    """What was written."""
    found = []
    for line in lines:
        sign, name, flux_id, instance = line.split()
        number = int(flux_id) if flux_id.isdecimal() else parse_f58(flux_id)
        found.append(Line(sign == "+", name, number, int(instance)))
    return found


def names_of(lines: Iterable[Line], job: str, *, begins: bool) -> list[str]:
    """The tasks of a job that began, or came to their end, as often as they did."""
    of_job = (line for line in lines if line.begins == begins)
    return [n for j, n in (line.task.split("/") for line in of_job) if j == job]


def expect_on_record(
    found: Mapping[int, Record], rows: Iterable[JobRow], lines: Sequence[Line]
) -> None:
    """The workload manager had each task at most once, and ran it as often; the ledger agrees.

    Args:
        found: the journal's jobs, by id.
        rows: the ledger's, all over.
        lines: what commands wrote.

    Raises:
        AssertionError: it is otherwise.
    """
    twice = {key: n for key, n in times_submitted(found.values()).items() if n > 1}
    _expect(not twice, f"submitted more than once: {twice}")
    begun = Counter(line.flux_id for line in lines if line.begins)
    _expect(set(begun.values()) <= {1}, f"ran more than once: {begun.most_common(3)}")
    started = {flux_id for flux_id, record in found.items() if record.started}
    _expect(begun.keys() <= started, f"ran, and never started: {begun.keys() - started}")
    _expect(all(record.ended for record in found.values()), "something still runs")
    tasks = {t.flux_id: t.key for row in rows for t in row.tasks if t.flux_id is not None}
    there = {flux_id: record.key for flux_id, record in found.items()}
    _expect(tasks == there, f"in the ledger or the journal only: {tasks.items() ^ there.items()}")


@dataclass
class Fates:
    """What became of the tasks of jobs whose workload manager was killed.

    Args:
        jobs: what the jobspecs were made of; no task has replicas.
        rows: the ledger's, by name.
        lines: what commands wrote.
    """

    jobs: Mapping[str, Sequence[Node]]
    rows: Mapping[str, JobRow]
    lines: Sequence[Line]

    def expect_ends(self, excuse: str) -> int:
        """Each task has an end that follows from what it is, or from the loss.

        Args:
            excuse: what the reason of a task says that was lost by no fault of its own.

        Returns:
            How many were.
        """
        excused = 0
        for job, nodes in self.jobs.items():
            tasks = {t.key.task: t for t in self.rows[job].tasks}
            for node in nodes:
                name, found = f"{job}/{node['name']}", tasks[node["name"]]
                well = all(tasks[need].state is TaskState.COMPLETED for need in node["needs"])
                if found.state in FINAL_TASK_STATES and excuse in (found.reason or ""):
                    excused += found.state in (TaskState.LOST, TaskState.FAILED)
                    _expect(well or found.state is TaskState.CANCELED, f"{name}: it could not run")
                elif well:
                    self._expect_own_end(name, node, found)
                else:
                    _expect(found.state is TaskState.CANCELED, f"{name} is {found.state.value}")
            self._expect_job(self.rows[job], tasks.values())
        return excused

    def expect_kept(self, snapshots: Sequence[Mapping[TaskKey, TaskState]], on_lost: str) -> int:
        """What the ledger knew when an instance died holds: no known end or start is run again.

        Args:
            snapshots: of each instance that died, in order, what the ledger knew then.
            on_lost: RAINBOW_ON_LOST.

        Returns:
            How often a task ran again that had started, and without a report of it.
        """
        now = {t.key: t for row in self.rows.values() for t in row.tasks}
        names = {row.key: name for name, row in self.rows.items()}
        ran: dict[str, list[int]] = defaultdict(list)
        for line in self.lines:
            if line.begins:
                ran[line.task].append(line.instance)
        for name, instances in ran.items():
            _expect(len(instances) == len(set(instances)), f"{name} ran twice: {instances}")
        unheard = 0
        for number, snapshot in enumerate(snapshots):
            for key, state in snapshot.items():
                name = f"{names[key.job]}/{key.task}"
                again = [instance for instance in ran[name] if instance > number]
                if state in FINAL_TASK_STATES:
                    _expect(now[key].state is state, f"{name} was {state.value}")
                    _expect(not again, f"{name} was over and ran again: {ran[name]}")
                elif state is TaskState.RUNNING and on_lost == "fail":
                    _expect(now[key].state is TaskState.LOST, f"{name} ran when it was lost")
                    _expect(not again, f"{name} had started and ran again: {ran[name]}")
                elif state is not TaskState.RUNNING:
                    unheard += number in ran[name] and bool(again)
        return unheard

    def _expect_own_end(self, name: str, node: Node, found: TaskRow) -> None:
        bad = node["kind"] == "bad"
        _expect(
            (found.state, found.exit_code)
            == ((TaskState.FAILED, 1) if bad else (TaskState.COMPLETED, 0)),
            f"{name} is {found.state.value}, {found.exit_code}: {found.reason}",
        )
        began = [line for line in self.lines if line.task == name and line.begins]
        _expect(bool(began), f"{name} is said to have run, and did not")

    @staticmethod
    def _expect_job(row: JobRow, tasks: Iterable[TaskRow]) -> None:
        states = {task.state for task in tasks}
        ends = {
            TaskState.LOST: JobState.LOST,
            TaskState.FAILED: JobState.FAILED,
            TaskState.CANCELED: JobState.CANCELED,
            TaskState.COMPLETED: JobState.COMPLETED,
        }
        worst = next(end for state, end in ends.items() if state in states)
        _expect(row.state is worst, f"job {row.name} is {row.state.value}, not {worst.value}")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)
