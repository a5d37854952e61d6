"""What became of each job of a storm, by what its tasks wrote."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.jobs import Book, Job, file_of
from chaos.parts import Row
from rainbow_agent.core.states import JobState, TaskState
from support.groups import RAN, Node, oracle, replicas

#: Of a job that lost tasks; it is failed where another task failed by itself.
_ROBBED_ENDS: Final = frozenset({"lost", "failed", "canceled"})


@dataclass
class Verdict:
    """The figures; each of the lists names what was found.

    Attributes:
        tasks: how many commands ran.
        lost: accepted, and did not run or has no end, with no excuse.
        twice: ran more often than it was to.
        early: began before what it depends on had ended.
        untrue: the ledger says another end than what was seen.
        again: ran in two instances, the first of which died before its start was known.
        robbed: jobs that lost tasks with the workload manager.
    """

    tasks: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    robbed: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all is as promised."""
        return not (self.lost or self.twice or self.early or self.untrue)


def judge(book: Book, rows: Iterable[Row], folder: Path) -> Verdict:
    """Hold what was written against what was sent.

    Args:
        book: what was sent.
        rows: the ledger's.
        folder: where the tasks wrote.
    """
    verdict = Verdict()
    of_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_name[row.name].append(row)
    for job in book.jobs.values():
        _judge_job(verdict, job, of_name[job.name], folder, book.begun)
    return verdict


def _judge_job(
    verdict: Verdict,
    job: Job,
    rows: Sequence[Row],
    folder: Path,
    begun: Mapping[tuple[str, str], Mapping[int, int]],
) -> None:
    wanted = _wanted(job)
    missing: dict[str, str] = {}
    for task, times in wanted.items():
        lines = _lines(file_of(folder, job.name, task))
        runs = [int(line.split()[1]) for line in lines if line.startswith("+")]
        verdict.tasks += len(runs)
        name = f"{job.name}/{task}"
        if any(line.startswith("!") for line in lines):
            verdict.early.append(name)
        if len(runs) > times:
            if _is_twice(Counter(runs), times, begun.get((job.name, task), {})):
                verdict.twice.append(f"{name}: in instances {runs}, to run {times} times")
            else:
                verdict.again.append(name)
        elif len(runs) < times:
            missing[task] = f"{task} ({len(runs)} of {times})"
    _judge_end(verdict, job, rows, missing)


def _is_twice(runs: Counter[int], times: int, begun: Mapping[int, int]) -> bool:
    """Whether too many runs are no replacement of starts that died before anyone knew of them.

    Args:
        runs: how often it ran, by instance.
        times: how often it was to run.
        begun: for each instance that died, how many starts were known by then. They say nothing
            of the runs before its death: one that is known now may have replaced an unknown one.
    """
    return max(runs.values()) > times or any(
        n > max(times - known, 0)
        for dead, known in begun.items()
        for instance, n in runs.items()
        if instance > dead
    )


def _judge_end(verdict: Verdict, job: Job, rows: Sequence[Row], missing: Mapping[str, str]) -> None:
    robbed = _robbed(job, rows)
    unexcused = [words for task, words in missing.items() if task not in robbed]
    open_rows = [row.state for row in rows if not row.over]
    if (job.must_run and unexcused) or open_rows or (job.certain and not job.excuse and not rows):
        what = f"{job.name}: not run: {unexcused}; in the ledger: {[row.state for row in rows]}"
        verdict.lost.append(what + "".join(f" {row.reason}" for row in rows))
        return
    states = [row.state for row in rows]
    right = _ROBBED_ENDS if robbed else {_end(job).value}
    if missing and JobState.COMPLETED.value in states:
        verdict.untrue.append(f"{job.name}: completed, and {[*missing.values()]} did not run")
    elif job.must_run and len(rows) == 1 and not right.issuperset(states):
        verdict.untrue.append(f"{job.name}: {states}, not {sorted(right)}: {rows[0].reason}")
    elif robbed:
        verdict.robbed.append(job.name)


def _robbed(job: Job, rows: Iterable[Row]) -> set[str]:
    """Tasks that need not have run, by an end that the workload manager's may have given one.

    Those are: a task that was in a workload manager when that ended, and has an end that follows;
    what is inside it; what depends on it. The tasks are by name, as in the jobspec.
    """
    hit = {
        task for row in rows for task, state in row.tasks if state in job.met.get(task, frozenset())
    }
    return _after(job.nodes, "", hit, within=False)


def _after(nodes: Sequence[Node], path: str, hit: Collection[str], *, within: bool) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        full = path + node["name"]
        whole = within or full in hit or any(path + need in found for need in node["needs"])
        inside: set[str] = set()
        if node["kind"] == "group":
            inside = _after(node["inside"], f"{full}/", hit, within=whole)
        if whole or inside:
            found |= {full, *inside}
    return found


def _wanted(job: Job) -> dict[str, int]:
    """How often each command is to run."""
    ends = oracle(job.nodes)
    return {task: n if ends[task] in RAN else 0 for task, n in replicas(job.nodes).items()}


def _end(job: Job) -> JobState:
    ends = oracle(job.nodes)
    top = {ends[node["name"]] for node in job.nodes}
    return JobState.FAILED if TaskState.FAILED in top else JobState.COMPLETED


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
