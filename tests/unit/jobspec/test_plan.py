"""A Document to a Plan: order, names, attributes, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import Plan
from rainbow_agent.jobspec import dependencies
from rainbow_agent.jobspec.dag import Cycle, topological
from rainbow_agent.jobspec.dependencies import unique_names
from rainbow_agent.jobspec.plan import plan_text

FIXTURES = Path(__file__).parents[2] / "fixtures" / "jobspecs"
HEAD = "version: 1\nresources: {r: {type: core, count: 1}}\ntasks:\n"


def planned(**jobspec: Any) -> Plan:
    """The plan of a jobspec, with a resource `r` of one core."""
    resources = {"r": {"type": "core", "count": 1}}
    return plan_text(yaml.safe_dump({"version": 1, "resources": resources, **jobspec}))


def task(name: str | None = None, *needs: str, **fields: Any) -> dict[str, Any]:
    """A task that depends on others."""
    named = {"name": name} if name is not None else {}
    return {"command": ["x"], "resources": "r", "depends_on": list(needs), **named, **fields}


def system(plan: Plan, name: str) -> dict[str, Any]:
    """`attributes.system` of a task's Flux jobspec."""
    found = next(t for t in plan.tasks if t.name == name)
    attributes: dict[str, Any] = found.jobspec["attributes"]
    inner: dict[str, Any] = attributes["system"]
    return inner


def runs(name: str) -> Plan:
    """The plan of an example that runs."""
    return plan_text((FIXTURES / "runs" / name).read_text())


def test_the_walk_through_asks_for_what_it_should() -> None:
    """One node, ten cores in one slot, `spack install ior` once, ior after it."""
    plan = runs("walk-through.yaml")
    assert [(t.name, t.replicas, t.depends_on) for t in plan.tasks] == [
        ("build", 1, ()),
        ("ior", 1, ("build",)),
    ]
    slot = {"type": "slot", "count": 1, "label": "task", "with": [{"type": "core", "count": 10}]}
    assert plan.tasks[0].jobspec == {
        "version": 1,
        "resources": [{"type": "node", "count": 1, "with": [slot]}],
        "tasks": [
            {"command": ["spack", "install", "ior"], "slot": "task", "count": {"per_slot": 1}}
        ],
        "attributes": {"system": {"duration": 0, "environment": {}, "job": {"name": "build"}}},
    }
    assert plan.tasks[1].jobspec["tasks"][0]["command"][:2] == ["bash", "-c"]
    assert (plan.name, plan.warnings) == ("", ())


def test_everything_comes_together() -> None:
    """JSON is read, the nearest attribute wins, a script comes along, order is not the file's."""
    plan = runs("everything.json")
    assert plan.name == "everything"
    assert [(t.name, t.replicas, t.depends_on) for t in plan.tasks] == [
        ("first", 3, ()),
        ("task-0", 1, ("first",)),
    ]
    assert system(plan, "first") == {
        "duration": 300,
        "environment": {"LEVEL": "resource", "ONLY": "document"},
        "job": {"name": "first"},
        "cwd": "/opt/x",
    }
    script = system(plan, "task-0")
    assert (script["duration"], script["environment"]["LEVEL"]) == (1.5, "task")
    (name, file), *more = script["files"].items()
    assert more == []
    assert file == {
        "mode": 0o100700,
        "data": "#!/bin/bash -e\necho {{name}}\n",
        "encoding": "utf-8",
    }
    words = plan.tasks[1].jobspec["tasks"][0]["command"]
    assert words == ["bash", "-e", "{{tmpdir}}/" + name]
    assert plan.tasks[0].jobspec["tasks"][0]["command"] == ["echo", "one word", "two"]


def test_spellings_of_the_specification_are_understood() -> None:
    """A vertex without its dash, variables beside `attributes`, plurals, `value` for `match`."""
    (task,) = runs("spellings.yaml").tasks
    assert task.jobspec["attributes"]["system"]["environment"] == {"pasta": "labasta"}
    (node,) = task.jobspec["resources"]
    assert {part["type"]: part["count"] for part in node["with"][0]["with"]} == {
        "core": 1,
        "gpu": 4,
    }
    ((need,),) = task.options[0].choices
    assert (need.field, need.equals, need.value) == ("gpu.vendor", "nvidia", "")


def test_aliases_and_merge_keys_are_as_if_written_out() -> None:
    """A task that is written short is planned like one that is written in full."""
    plan = runs("shared.yaml")
    assert [(t.name, t.depends_on) for t in plan.tasks] == [("say", ()), ("shout", ("say",))]
    assert [t.jobspec["resources"][0]["count"] for t in plan.tasks] == [1, 4]
    assert [t.jobspec["tasks"][0]["command"] for t in plan.tasks] == [["echo", "yes"]] * 2


@pytest.mark.parametrize("path", sorted((FIXTURES / "runs").iterdir()), ids=lambda p: p.name)
def test_examples_are_planned_without_remarks(path: Path) -> None:
    """Every example that runs is planned; its jobspecs are plain JSON."""
    plan = plan_text(path.read_text())
    assert plan.tasks
    assert plan.warnings == ()
    for each in plan.tasks:
        assert json.loads(json.dumps(each.jobspec)) == each.jobspec


@pytest.mark.parametrize("path", sorted((FIXTURES / "refused").iterdir()), ids=lambda p: p.name)
def test_examples_are_refused_by_name(path: Path) -> None:
    """Each example that is refused says in its first line with what words."""
    text = path.read_text()
    expected = text.partition("\n")[0].removeprefix("# refused: ")
    with pytest.raises(JobspecError) as caught:
        plan_text(text)
    assert expected in str(caught.value)


def test_nothing_to_run_is_an_error() -> None:
    """A job without tasks would never end."""
    with pytest.raises(JobspecError, match="the jobspec has no `tasks`"):
        planned(tasks=[])


A = "- {name: a, command: a, resources: r}\n"
MANY = "- {name: many, command: a, resources: r, replicas: 10000}\n"


@pytest.mark.parametrize(
    ("tasks", "error"),
    [
        (
            A + "- {command: b, resources: r, depends_on: [A]}\n",
            "tasks[1].depends_on[0] (line 5, column 43): no task is named 'A'; did you mean 'a'?",
        ),
        (
            A + A + "- {command: b, resources: r, depends_on: [a]}\n",
            "'a' is the name of 2 tasks (tasks[0] and tasks[1]); give each its own",
        ),
        (
            "- {name: a, command: a, resources: r, depends_on: [a]}\n",
            "tasks[0] (line 4, column 3): tasks depend on each other in a circle: 'a' -> 'a'",
        ),
        ("- {command: a}\n", "tasks[0] (line 4, column 3): a task needs `resources`; name one"),
        (
            "- {command: [python, -c, '{{" + "x" * 1024 + "}}'], resources: r}\n",
            "a word of `command` has more than 1023 bytes between {{ and }}",
        ),
        (
            "- {command: a, resources: r, replicas: 100001}\n",
            "tasks[0] (line 4, column 3): with this task's replicas the jobspec is more than 100,0",
        ),
        (
            MANY + "- {command: a, resources: r, replicas: 1000, depends_on: [many]}\n",
            "tasks[1] (line 5, column 3): with this task's `depends_on` the jobspec has more than",
        ),
    ],
)
def test_errors_of_plans(tasks: str, error: str) -> None:
    """What is well written and cannot run is reported with its place and what to write."""
    with pytest.raises(JobspecError) as caught:
        plan_text(HEAD + tasks)
    assert error in str(caught.value)


def test_a_cycle_is_told_in_order() -> None:
    """Only the tasks of the circle are named, each before the one that it waits for."""
    tasks = [
        task("out", "b"),
        task("a", "b"),
        task("b", "start", "c"),
        task("c", "a"),
        task("start"),
    ]
    with pytest.raises(JobspecError, match="circle: 'b' -> 'c' -> 'a' -> 'b' \\(each waits for"):
        planned(tasks=tasks)


def test_a_long_cycle_is_told_short() -> None:
    """The error of a circle of a thousand tasks can still be read."""
    tasks = [task(f"t{i}", f"t{(i + 1) % 1000}") for i in range(1000)]
    with pytest.raises(JobspecError, match="'t9' -> \\(990 more\\) -> 't0'") as caught:
        planned(tasks=tasks)
    assert len(str(caught.value)) < 300


def test_names_are_unique_and_stay_the_same() -> None:
    """Names that nothing depends on may be used again; tasks without one get their place's."""
    written = ["a", None, "a", "a#2", "a", "task-1", None]
    assert unique_names(written) == ["a", "task-1#2", "a#3", "a#2", "a#4", "task-1", "task-6"]


@given(st.lists(st.none() | st.sampled_from(["a", "a#2", "a#3", "task-0", "task-1", "b"])))
def test_unique_names_are_unique(written: list[str | None]) -> None:
    """However names repeat, the plan's are each used once, and the first of a name keeps it."""
    names = unique_names(written)
    assert len(set(names)) == len(names) == len(written)
    for i, name in enumerate(written):
        if name is not None and name not in written[:i]:
            assert names[i] == name


def test_a_dependency_that_is_written_twice_counts_once() -> None:
    """Waiting twice for the same task is waiting once."""
    plan = planned(tasks=[task("a"), task("b", "a", "a")])
    assert plan.tasks[1].depends_on == ("a",)


def test_file_order_among_equals() -> None:
    """Tasks that do not wait for each other stay in the order of the file."""
    plan = planned(tasks=[task("d", "c"), task("b"), task("c"), task("a", "b")])
    assert [t.name for t in plan.tasks] == ["b", "c", "d", "a"]


def test_remarks_are_bounded_and_tell_what_has_no_effect() -> None:
    """Ignored attributes, unused resources, lost levels and templates cause warnings."""
    resources = {
        "r": {
            "type": "rack",
            "count": 2,
            "unit": "x",
            "with": [{"type": "core", "count": 1}],
            "attributes": {"bank": "debug"},
        },
        "idle": {"type": "whatever", "count": 1},
    }
    tasks = [task(command=["echo", "{{id}}"])] + [task() for _ in range(3)]
    warnings = planned(resources=resources, tasks=tasks).warnings
    for words in (
        "the attribute 'bank' is not known and has no effect",
        "resources.idle (line ",
        "Flux's jobspec has no rack",
        "`unit` has no effect",
        "Flux may replace '{{id}}' in a command's words",
    ):
        assert any(words in line for line in warnings), words
    many = planned(tasks=[task(attributes={"bank": "debug"}) for _ in range(100)]).warnings
    assert len(many) == 20


def test_a_long_chain_and_many_replicas_are_planned() -> None:
    """No step of the way recurses, or grows with the square of the tasks."""
    n = 3000
    tasks = [task(f"t{i}", f"t{i + 1}") for i in range(n)] + [task(f"t{n}", replicas=10_000)]
    plan = planned(tasks=tasks)
    assert [t.name for t in plan.tasks] == [f"t{i}" for i in reversed(range(n + 1))]
    assert plan.tasks[0].replicas == 10_000


def test_bounds_hold_together() -> None:
    """The most jobs and the most dependencies are still planned."""
    assert dependencies.MAX_RUNS == 100_000
    plan = planned(tasks=[task("a", replicas=1000), task("b", "a", replicas=1000)])
    assert len(plan.tasks) == 2


@st.composite
def graphs(draw: st.DrawFn, *, cyclic: bool) -> list[list[int]]:
    """Dependencies of tasks in any file order; with `cyclic` at least one circle among them."""
    n = draw(st.integers(1, 12))
    order = draw(st.permutations(range(n)))
    needs: list[list[int]] = [[] for _ in range(n)]
    for later in range(1, n):
        earlier = draw(st.lists(st.integers(0, later - 1), unique=True, max_size=4))
        needs[order[later]] = [order[i] for i in earlier]
    if cyclic:
        circle = draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1))
        for node, need in zip(circle, [*circle[1:], circle[0]], strict=True):
            needs[node] = sorted({*needs[node], need})
    return needs


@given(graphs(cyclic=False))
def test_each_task_once_and_after_all_it_depends_on(needs: list[list[int]]) -> None:
    """Whatever the order in the file, the plan's order is one that can be submitted."""
    tasks = [task(f"t{i}", *(f"t{j}" for j in needed)) for i, needed in enumerate(needs)]
    plan = planned(tasks=tasks)
    seen: set[str] = set()
    for each in plan.tasks:
        assert set(each.depends_on) <= seen
        assert each.depends_on == tuple(f"t{j}" for j in needs[int(each.name[1:])])
        assert each.name not in seen
        seen.add(each.name)
    assert len(seen) == len(needs)


@given(graphs(cyclic=True))
def test_a_circle_is_always_found(needs: list[list[int]]) -> None:
    """What is named is a real circle: each depends on the next, the last on the first."""
    with pytest.raises(Cycle) as caught:
        topological(needs)
    circle = caught.value.nodes
    assert len(set(circle)) == len(circle) > 0
    for node, need in zip(circle, [*circle[1:], circle[0]], strict=True):
        assert need in needs[node]
    tasks = [task(f"t{i}", *(f"t{j}" for j in needed)) for i, needed in enumerate(needs)]
    with pytest.raises(JobspecError, match="in a circle"):
        planned(tasks=tasks)


QUEUES = """
version: 1
attributes: {queue: everywhere}
resources:
  one: {type: core, count: 1}
  big: {type: core, count: 1, attributes: {queue: of-the-resource}}
tasks:
- {name: default, command: [a], resources: one}
- {name: own, command: [a], resources: big, attributes: {queue: own}}
- {name: resource, command: [a], resources: big}
groups:
- name: g
  resources: big
  tasks: [{name: inner, command: [a]}, {name: other, command: [a], resources: big}]
"""


def test_a_queue_is_for_what_goes_to_the_cluster_itself() -> None:
    """The nearest one holds; what is in a group runs in an instance without queues."""
    plan = plan_text(QUEUES)
    found = {
        task.name: task.jobspec["attributes"]["system"].get("queue")
        for task, _ in plan.every_task()
    }
    assert found == {
        "default": "everywhere",
        "own": "own",
        "resource": "of-the-resource",
        "g": "of-the-resource",
        "g/inner": None,
        "g/other": None,
    }


def test_a_task_in_a_group_names_no_queue() -> None:
    """It would be refused where it runs; the error says where to write it."""
    text = QUEUES.replace("{name: inner,", "{name: inner, attributes: {queue: x},")
    with pytest.raises(JobspecError, match="under the group's `attributes`"):
        plan_text(text)


def test_a_key_is_of_the_whole_job() -> None:
    """It stands in the jobspec's own attributes, and is an error below."""
    text = """version: 1
attributes: {once: nightly 1}
resources: {one: {type: core, count: 1}}
tasks: [{command: [a], resources: one}]
"""
    assert plan_text(text).once == "nightly 1"
    assert plan_text(text.replace("once", "color")).once == ""
    for where in ("{command: [a], ", "{type: core, "):
        below = text.replace(where, f"{where}attributes: {{once: k}}, ")
        with pytest.raises(JobspecError, match="`once` is the key of the whole job"):
            plan_text(below)
