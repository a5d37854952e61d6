"""For tests of groups: a place to run them, random jobspecs, and what must come of each task.

The oracle knows nothing of plans; each command writes its task's name, so that running twice
would show.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rainbow_agent.core.model import TaskChange, TaskKey, TaskRow
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.run_once import Run
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.runtime.stop import Stop
from support.common import Background, eventually
from support.places import Place, new_key

Node = dict[str, Any]

#: What the documents of a GroupSite may ask for.
RESOURCES = {
    "one": {"type": "core", "count": 1},
    "two": {"type": "core", "count": 2},
}
#: States of what was started.
RAN = frozenset({TaskState.COMPLETED, TaskState.FAILED})


@dataclass
class GroupSite:
    """A workload manager, and a folder that tasks write to."""

    place: Place
    folder: Path
    changes: dict[str, list[TaskChange]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def marks(self) -> Path:
        """The file that `note` appends to."""
        return self.folder / "marks"

    def note(self, word: str, then: str = "true") -> list[str]:
        """A command that appends a word to the file, and does something."""
        return ["sh", "-c", f"echo {word} >> {self.marks}; {then}"]

    def lines(self) -> list[str]:
        """The words in the file, in order."""
        return self.marks.read_text().split() if self.marks.exists() else []

    def run(
        self,
        document: Mapping[str, Any],
        *,
        meanwhile: Callable[[Run], None] | None = None,
        programs: Programs | None = None,
    ) -> dict[str, TaskState]:
        """Run a jobspec to its end; the states of its tasks by name (and [replica])."""
        whole = {"version": 1, "resources": RESOURCES, **document}
        plan = plan_text(yaml.safe_dump(whole), programs)
        with (
            closing(self.place.open()) as workload,
            closing(self.place.open()) as other,
            closing(other.open_journal(lambda _: True)) as journal,
        ):
            run = Run(
                plan,
                new_key().job,
                workload=workload,
                environment=job_environment(os.environ),
                clock=SystemClock(),
                show=self._hear,
            )
            stop = Stop()
            run.submit(stop)
            watching = Background(lambda: run.watch(journal, stop))
            watching.start()
            try:
                if meanwhile is not None:
                    meanwhile(run)
                eventually(run.over, "every task is over", seconds=120)
            finally:
                stop.set("the test is over")
                watching.end()
        return {_name(key): news.state for key, news in run.latest.items()}

    def _hear(self, news: TaskChange) -> None:
        self.changes.setdefault(_name(news.key), []).append(news)
        if news.flux_id is not None:
            self.ids[_name(news.key)] = news.flux_id

    def last(self, task: str) -> TaskChange:
        """The last news of a task."""
        return self.changes[task][-1]

    def pid(self, file: str) -> int:
        """The process that wrote its number there."""
        path = self.folder / file
        eventually(lambda: path.exists() and path.read_text().strip(), f"{file} is written")
        return int(path.read_text())


def _name(key: TaskKey) -> str:
    return f"{key.task}[{key.replica}]" if key.replica else key.task


def states(**named: str) -> dict[str, TaskState]:
    """Task names, with `__` for `/`, and the states that they should have."""
    return {n.replace("__", "/"): TaskState(s) for n, s in named.items()}


def random_scope(rng: random.Random, depth: int = 0) -> list[Node]:
    """What stands side by side; each may depend on some of those before it."""
    nodes: list[Node] = []
    for number in range(rng.randint(1, 4 if depth else 3)):
        kinds = ["job", "job", "bad"] + (["local"] if depth else []) + ["group"] * (depth < 2)
        before = [node["name"] for node in nodes]
        needs = rng.sample(before, rng.randint(0, min(2, len(before))))
        node: Node = {"name": f"n{number}", "kind": rng.choice(kinds), "needs": needs}
        if node["kind"] == "group":
            node["inside"] = random_scope(rng, depth + 1)
        else:
            node["replicas"] = rng.choice([1, 1, 2])
        nodes.append(node)
    return nodes


def jobspec_of(nodes: list[Node], marks: Path, name: str = "") -> Node:
    """The jobspec of a scope; its commands append `NAME/TASK` to the file."""
    text: Node = {"version": 1, "resources": {"one": {"type": "core", "count": 1}}}
    if name:
        text["name"] = name
    return {**text, **_document(nodes, marks, f"{name}/" if name else "")}


def _document(nodes: list[Node], marks: Path, path: str) -> Node:
    tasks, groups = [], []
    for node in nodes:
        full = path + node["name"]
        entry: Node = {"name": node["name"], "depends_on": node["needs"]}
        if node["kind"] == "group":
            inside = _document(node["inside"], marks, f"{full}/")
            groups.append({"name": f"group-of-{node['name']}", "resources": "one", **inside})
            entry |= {"group": f"group-of-{node['name']}"}
        else:
            end = "exit 1" if node["kind"] == "bad" else "true"
            entry["command"] = ["sh", "-c", f"echo {full} >> {marks}; {end}"]
            entry["replicas"] = node["replicas"]
            if node["kind"] == "local":
                entry["local"] = True
            else:
                entry["resources"] = "one"
        tasks.append(entry)
    return {"tasks": tasks[::-1], "groups": groups}


def oracle(nodes: list[Node], path: str = "", *, runs: bool = True) -> dict[str, TaskState]:
    """What becomes of each."""
    found: dict[str, TaskState] = {}
    for node in nodes:
        full = path + node["name"]
        may = runs and all(found[path + need] is TaskState.COMPLETED for need in node["needs"])
        state = TaskState.CANCELED
        if node["kind"] == "group":
            inside = oracle(node["inside"], f"{full}/", runs=may)
            found |= inside
            well = set(inside.values()) == {TaskState.COMPLETED}
        else:
            well = node["kind"] != "bad"
        if may:
            state = TaskState.COMPLETED if well else TaskState.FAILED
        found[full] = state
    return found


def edges(nodes: list[Node], path: str = "") -> list[tuple[str, str]]:
    """Each dependency: what is needed, and who needs it."""
    own = [(path + need, path + node["name"]) for node in nodes for need in node["needs"]]
    below = [
        edge
        for node in nodes
        if node["kind"] == "group"
        for edge in edges(node["inside"], f"{path}{node['name']}/")
    ]
    return own + below


def replicas(nodes: list[Node], path: str = "") -> dict[str, int]:
    """How many of each command there are."""
    found: dict[str, int] = {}
    for node in nodes:
        full = path + node["name"]
        if node["kind"] == "group":
            found |= replicas(node["inside"], f"{full}/")
        else:
            found[full] = node["replicas"]
    return found


def expect_as_said(
    nodes: list[Node], ends: Sequence[TaskChange | TaskRow], written: Iterable[str]
) -> None:
    """Nothing started before what it needs ended well; all that can run ran; each once.

    Args:
        nodes: what the jobspec was made of.
        ends: the last that is known of every replica of every task, with the times of the
            workload manager's events.
        written: the names of tasks, once for each time that a command ran.

    Raises:
        AssertionError: something else happened.
    """
    expected, times = oracle(nodes), replicas(nodes)
    _expect_same("states", {end.key.task: end.state for end in ends}, expected)
    of_each = Counter((end.key.task, end.state) for end in ends)
    wanted = {(task, state): times.get(task, 1) for task, state in expected.items()}
    _expect_same("replicas", of_each, wanted)
    ran = {task: n for task, n in times.items() if expected[task] in RAN}
    _expect_same("commands that ran", Counter(written), ran)
    for need, who in edges(nodes):
        if expected[who] in RAN:
            finished = [end.finished for end in ends if end.key.task == need]
            started = [end.started for end in ends if end.key.task == who]
            known = [at for at in (*finished, *started) if at is not None]
            if len(known) < len(finished) + len(started):
                raise AssertionError(f"{need} has no end or {who} no start: {finished} {started}")
            if max(known[: len(finished)]) > min(known[len(finished) :]):
                raise AssertionError(f"{who} started before {need} ended: {started} {finished}")


def _expect_same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {found}, not {wanted}")
