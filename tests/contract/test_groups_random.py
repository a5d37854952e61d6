"""Random jobspecs with groups: order and ends, by the workload manager's own times.

What must become of each task is said by an oracle that knows nothing of plans; each command
writes its task's name, so that running twice would show.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rainbow_agent.adapters.clock import SystemClock
from rainbow_agent.environment import job_environment
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.running import Run
from rainbow_agent.states import TaskState
from rainbow_agent.stop import Stop
from rainbow_agent.testing_places import Place, new_key

Node = dict[str, Any]


@st.composite
def scopes(draw: st.DrawFn, depth: int = 0) -> list[Node]:
    """What stands side by side; each may depend on some of those before it."""
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 4 if depth else 3))):
        kinds = ["job", "job", "bad"] + (["local"] if depth else []) + ["group"] * (depth < 2)
        kind = draw(st.sampled_from(kinds))
        before = [node["name"] for node in nodes]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=2)) if before else []
        node: Node = {"name": f"n{number}", "kind": kind, "needs": needs}
        if kind == "group":
            node["inside"] = draw(scopes(depth + 1))
        else:
            node["replicas"] = draw(st.sampled_from([1, 1, 2]))
        nodes.append(node)
    return nodes


def document(nodes: list[Node], marks: Path, path: str = "") -> Node:
    """The mapping with `tasks` and `groups` that a scope is."""
    tasks, groups = [], []
    for node in nodes:
        full = path + node["name"]
        entry: Node = {"name": node["name"], "depends_on": node["needs"]}
        if node["kind"] == "group":
            inside = document(node["inside"], marks, f"{full}/")
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


@pytest.mark.timeout(300)
@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(nodes=scopes())
def test_order_and_ends(place: Place, tmp_path: Path, nodes: list[Node]) -> None:
    """Nothing starts before what it needs ended well; all that can run runs; each once."""
    marks = tmp_path / "marks"
    marks.unlink(missing_ok=True)
    text = {
        "version": 1,
        "resources": {"one": {"type": "core", "count": 1}},
        **document(nodes, marks),
    }
    with (
        closing(place.open()) as workload,
        closing(place.open()) as other,
        closing(other.open_journal(lambda _: True)) as journal,
    ):
        run = Run(
            plan_text(yaml.safe_dump(text)),
            new_key().job,
            workload=workload,
            environment=job_environment(os.environ),
            clock=SystemClock(),
            show=lambda _: None,
        )
        stop = Stop()
        run.submit(stop)
        run.watch(journal, stop)
    expected = oracle(nodes)
    assert {key.task: news.state for key, news in run.latest.items()} == expected
    ran = {name: n for name, n in replicas(nodes).items() if expected[name] in _RAN}
    written = marks.read_text().split() if marks.exists() else []
    assert Counter(written) == Counter(ran)
    for need, who in edges(nodes):
        if expected[who] in _RAN:
            ends = [n.finished for k, n in run.latest.items() if k.task == need]
            begins = [n.started for k, n in run.latest.items() if k.task == who]
            assert max(e or 0.0 for e in ends) <= min(b or 0.0 for b in begins), (need, who)


_RAN = {TaskState.COMPLETED, TaskState.FAILED}
