"""The jobs of a storm: what they are, and what excuses one from having run.

Each task writes to a file of its own: `+ INSTANCE` when it begins, `-` at its end, and `!` when
something that it depends on has not ended.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from support.groups import Node, random_scope, replicas
from support.storm import random_job

#: Arguments: the task's file, the file with the instance's number, seconds, exit code, and for
#: each task that must have ended its file and how often it was to run.
_SCRIPT: Final = """\
mine=$1 instance=$2 seconds=$3 code=$4; shift 4
while [ $# -gt 0 ]; do
  [ "$(grep -c '^-' "$1")" -ge "$2" ] || echo "! $1" >> "$mine"
  shift 2
done
read -r number < "$instance"
echo "+ $number" >> "$mine"
[ "$seconds" = 0 ] || sleep "$seconds"
echo - >> "$mine"
exit "$code"
"""
MAX_GROUPS: Final = 2  # in one job: each is an instance of Flux


@dataclass
class Job:
    """A job that was sent.

    Attributes:
        name: its own.
        nodes: what its jobspec is made of (support/groups.py).
        certain: rainbow said that it took it; otherwise it may or may not have.
        excuse: why it need not have run; "" if it must have. It may never run twice.
        met: its tasks that a workload manager had when it was killed or restarted, each with the
            ends that this can have given it.
        canceled: somebody asked for its end.
    """

    name: str
    nodes: list[Node]
    certain: bool = True
    excuse: str = ""
    met: dict[str, frozenset[str]] = field(default_factory=dict)
    canceled: bool = False

    @property
    def must_run(self) -> bool:
        """Whether nothing excuses it: all of it has to run, and its end to be the right one.

        Of a job that lost tasks with its workload manager this is true of all other tasks.
        """
        return self.certain and not (self.excuse or self.canceled)


@dataclass
class Book:
    """What was sent, for the thread that sends and the one that strikes."""

    jobs: dict[str, Job] = field(default_factory=dict)
    refused: int = 0  # times that rainbow took nothing, having no graph of the cluster
    #: (job, task): for each instance that died, how many of its replicas were known to have begun
    #: by then, in that one or an earlier one.
    begun: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is sent during the block."""
        with self._lock:
            yield

    def note_begun(self, job: str, task: str, instance: int) -> None:
        """A replica was known to have begun when this instance died."""
        self.begun.setdefault((job, task), Counter())[instance] += 1

    def note_met(self, job: str, task: str, ends: frozenset[str]) -> None:
        """A workload manager ended with this task in it, which may have given it these ends."""
        if found := self.jobs.get(job):
            found.met[task] = found.met.get(task, frozenset()) | ends

    def excuse(self, names: Iterable[str], why: str) -> int:
        """These need not run; of how many that is news."""
        found = [self.jobs[name] for name in names if name in self.jobs]
        fresh = [job for job in found if not job.excuse]
        for job in fresh:
            job.excuse = why
        return len(fresh)


def next_job(rng: random.Random, name: str) -> Job:
    """A small job; one in six has a group."""
    if rng.random() < 1 / 6:
        while True:
            nodes = random_scope(rng)
            if 1 <= str(nodes).count("'group'") <= MAX_GROUPS:
                return Job(name, nodes)
    return Job(name, random_job(rng))


def file_of(folder: Path, job: str, task: str) -> Path:
    """Where a task writes."""
    return folder / job / task.replace("/", ".")


def document(job: Job, folder: Path, instance: Path) -> dict[str, Any]:
    """The jobspec; its tasks are written last first.

    Args:
        job: which.
        folder: where tasks write; the job's own is made there.
        instance: the file with the number of the workload manager's instance.
    """
    (folder / job.name).mkdir(parents=True, exist_ok=True)
    resources = {"one": {"type": "core", "count": 1}}
    return {
        "version": 1,
        "name": job.name,
        "resources": resources,
        **_scope(job, job.nodes, "", folder, instance),
    }


def _scope(
    job: Job, nodes: list[Node], path: str, folder: Path, instance: Path
) -> dict[str, list[Node]]:
    tasks: list[Node] = []
    groups: list[Node] = []
    times = replicas(nodes, path)
    for node in nodes:
        entry: Node = {"name": node["name"], "depends_on": node["needs"]}
        if node["kind"] == "group":
            name = f"group-of-{node['name']}"
            inside = _scope(job, node["inside"], f"{path}{node['name']}/", folder, instance)
            groups.append({"name": name, "resources": "one", **inside})
            entry["group"] = name
        else:
            needs = [path + need for need in node["needs"] if path + need in times]
            ended = [
                word
                for need in needs
                for word in (str(file_of(folder, job.name, need)), str(times[need]))
            ]
            mine = file_of(folder, job.name, path + node["name"])
            code = "1" if node["kind"] == "bad" else "0"
            seconds = str(node.get("seconds", 0))
            entry["command"] = ["sh", "-c", _SCRIPT, "sh", str(mine), str(instance), seconds, code]
            entry["command"] += ended
            entry["replicas"] = node["replicas"]
            entry |= {"local": True} if node["kind"] == "local" else {"resources": "one"}
        tasks.append(entry)
    return {"tasks": tasks[::-1], "groups": groups}
