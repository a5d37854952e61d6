"""A job's tasks as a tree, in dependency order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import JobKey, TaskKey, TaskRow
from rainbow_agent.core.notation import f58
from rainbow_agent.core.states import TaskState
from rainbow_agent.monitoring.task_tree import DRAWN, MAX_REPLICA_LINES, PLAIN, parents, tree_table

KEY = JobKey("r1", 7)


def row(name: str, position: int, *after: str, replica: int = 0, **facts: object) -> TaskRow:
    made = TaskRow(TaskKey(KEY, name, replica), position, TaskState.COMPLETED, after)
    return replace(made, started=1000.0, finished=1003.0, **facts)  # type: ignore[arg-type]


def names(text: str) -> list[str]:
    head, *lines = text.splitlines()
    return [line[: head.index("STATE")].rstrip() for line in lines]


def test_each_task_is_below_what_it_waits_for() -> None:
    """Siblings, a chain, and one that waits for two."""
    tasks = [
        row("build", 0),
        row("ior", 1, "build"),
        row("mdtest", 2, "build"),
        row("report", 3, "build", "ior", "mdtest"),
        row("alone", 4),
    ]
    text = tree_table(tasks, 2000.0, DRAWN)
    assert names(text) == ["build", "├─ ior", "│  └─ report", "└─ mdtest", "alone"]
    assert text.splitlines()[3].endswith("build,mdtest")
    plain = tree_table(tasks, 2000.0, PLAIN)
    assert names(plain) == ["build", "|- ior", "|  `- report", "`- mdtest", "alone"]
    assert plain.isascii()


def test_what_is_in_a_group_is_below_it() -> None:
    """A task of a group that waits for none of it is the group's child."""
    tasks = [
        row("group", 0),
        row("inner", 1, group="group"),
        row("next", 2, "inner", group="group"),
    ]
    assert parents(tasks) == {"group": None, "inner": "group", "next": "inner"}


def test_few_replicas_have_a_line_each_many_have_one() -> None:
    """A thousand of them are a count for each state."""
    few = [row("a", 0, replica=n) for n in range(MAX_REPLICA_LINES)]
    assert names(tree_table(few, 2000.0)) == [f"a[{n}]" for n in range(MAX_REPLICA_LINES)]
    many = [row("a", 0, replica=n, exit_code=0) for n in range(1000)]
    (_, line) = tree_table(many, 2000.0).splitlines()
    assert "1000 completed" in line
    assert "(1000 replicas)" in line


def test_times_states_and_ids_are_told() -> None:
    """What it took, up to now while it runs."""
    running = replace(row("a", 0, flux_id=99), state=TaskState.RUNNING, finished=None)
    (_, line) = tree_table([running], 1060.0).splitlines()
    assert line.split() == ["a", "running", "-", "1970-01-01T00:16:40Z", "60", "s", f58(99), "-"]


def test_a_chain_of_thousands_is_drawn() -> None:
    """No recursion limit is in the way."""
    tasks = [row(f"t{n}", n, *([f"t{n - 1}"] if n else [])) for n in range(3000)]
    assert len(tree_table(tasks, 2000.0).splitlines()) == 3001


@given(st.data())
def test_every_task_is_there_once_and_after_what_it_waits_for(data: st.DataObject) -> None:
    """Whatever the graph is."""
    size = data.draw(st.integers(1, 12))
    tasks = [
        row(f"t{n}", n, *(f"t{i}" for i in data.draw(st.sets(st.integers(0, n - 1))) if n))
        if n
        else row("t0", 0)
        for n in range(size)
    ]
    text = tree_table(tasks, 2000.0, PLAIN)
    shown = [name.split()[-1].lstrip("|`- ") for name in names(text)]
    assert sorted(shown) == sorted(f"t{n}" for n in range(size))
    for name, above in parents(tasks).items():
        assert above is None or shown.index(above) < shown.index(name)
