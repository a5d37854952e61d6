"""Everything that is wrong with a jobspec is reported at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.cli import main
from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.checking import Diagnostic, check
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.reading import MAX_FAULTS

GOOD = """\
version: 1
resources: {small: {type: core, count: 1}}
tasks: [{name: build, command: [make], resources: small}]
"""
BAD = """\
version: 2
resources:
  small: {type: cores, count: yes}
requires:
  x: [{name: spack, field: a, what: b}]
tasks:
- {comand: [a], resources: smal}
- {command: "a 'b", resources: small, replicas: 0, depends_on: [1, [2]]}
- {command: [c], resources: small, attributes: {duration: 5 minutes, environment: {A: }}}
- foo
groups:
- {name: g, steps: [], tasks: [{command: [], local: maybe}]}
"""
NAMES = """\
version: 1
resources:
  small: {type: core, count: 1}
  big: {type: node, count: 1, with: [{type: memory, count: 4}]}
requires:
  x: [{name: spack}, {name: spack, field: ior, min: new}]
tasks:
- {command: [a], resources: smal|big|tiny, depends_on: [x, y]}
- {name: b, command: "a b", resources: small, requires: zz|x}
"""


def places(text: str) -> list[tuple[int, int]]:
    return [(finding.line, finding.column) for finding in check(text)]


def test_a_good_jobspec_has_no_findings() -> None:
    """And what may surprise in it is a warning."""
    assert check(GOOD) == []
    more = GOOD.replace("small: {", "other: {type: node, count: 1}, small: {")
    assert check(more) == [
        Diagnostic(2, 20, "resources.other: no task or group uses these resources", warning=True)
    ]


def test_all_that_is_wrong_in_the_text_is_told() -> None:
    """A value that cannot be read hides no other; each stands at its own place, in order."""
    found = check(BAD)
    assert [(f.line, f.message.split(":")[0]) for f in found] == [
        (1, "version"),
        (3, "resources.small.count"),
        (5, "requires.x[0]"),
        (7, "tasks[0]"),
        (7, "tasks[0].resources"),
        (8, "tasks[1].command"),
        (8, "tasks[1].replicas"),
        (8, "tasks[1].depends_on[0]"),
        (8, "tasks[1].depends_on[1]"),
        (9, "tasks[2].attributes.duration"),
        (9, "tasks[2].attributes.environment.A"),
        (10, "tasks[3]"),
        (12, "groups[0]"),
        (12, "groups[0].tasks[0].command"),
        (12, "groups[0].tasks[0].local"),
    ]


def test_form_names_and_circles_are_told_at_once() -> None:
    """What cannot be read is there by its name all the same: nothing follows from it twice."""
    text = """\
version: 1
resources: {bad: {type: core, count: some}, good: {type: core, count: 1}}
requires: {x: [{nmae: spack}]}
tasks:
- {name: a, comand: [a], resources: bad, requires: x}
- {name: b, command: [b], resources: nowhere, depends_on: [a, c]}
- {name: c, command: [c], resources: good, depends_on: [b, nothing]}
- {name: d, command: [d], resources: bad, depends_on: [e]}
- {name: e, command: [e], resources: bad, depends_on: [d, a]}
groups:
- {name: g, tasks: [{name: f, command: [f], depends_on: [f]}]}
"""
    assert [(f.line, f.message.split(":")[0], f.message.split("'")[1]) for f in check(text)] == [
        (2, "resources.bad.count", "some"),
        (3, "requires.x[0]", "nmae"),
        (5, "tasks[0]", "comand"),
        (6, "tasks[1]", "b"),
        (6, "tasks[1].resources", "nowhere"),
        (7, "tasks[2].depends_on[1]", "nothing"),
        (8, "tasks[3]", "d"),
        (11, "groups[0]", "bad"),  # it needs resources, such as these
        (11, "groups[0].tasks[0]", "f"),
    ]


def test_sizes_and_what_is_in_groups_are_told_with_the_rest() -> None:
    """What has a fault of its own hides no other's, and what cannot be read has no second one."""
    text = """\
version: 1
resources: {one: {type: node, count: 1}, two: {type: node, count: 2}, bad: {type: core, count: x}}
tasks:
- {name: many, replicas: 90000, command: [a], resources: one, depends_on: [nothing]}
- {name: more, replicas: 90000, command: [a], resources: one}
- {group: nowhere}
- {group: g, name: first}
- {group: g, name: second, depends_on: [first]}
- {name: here, local: true, command: [a], resources: one}
- {name: empty, resources: one, replicas: 0}
groups:
- name: g
  resources: one
  attributes: {duration: 1m, environment: {A: }}
  tasks:
  - {name: large, command: [a], resources: two}
  - {name: long, command: ["{{LONG}}"], resources: one, attributes: {duration: 2m, queue: q}}
  - {name: lost, command: [a], resources: tow}
- {name: h, resources: bad, tasks: [{name: fits, command: [a], resources: two}]}
- {name: k, resources: gone, tasks: [{command: [a]}, {command: [a], local: true, steps: [2]}]}
- {name: l, resources: one, tasks: [foo]}
""".replace("LONG", "x" * 1024)
    found = [(f.line, *f.message.partition(": ")[::2]) for f in check(text)]
    assert [(line, path, " ".join(what.split()[:4])) for line, path, what in found] == [
        (2, "resources.bad.count", "this is 'x'; write"),
        (4, "tasks[0].depends_on[0]", "no task is named"),
        (5, "tasks[1]", "with this task's replicas"),
        (6, "tasks[2].group", "no group is named"),
        (8, "tasks[4].group", "the group 'g' is"),
        (9, "tasks[5]", "`local: true` outside any"),
        (10, "tasks[6]", "nothing to run; write"),
        (10, "tasks[6].replicas", "'0' is below 1;"),
        (14, "groups[0].attributes.environment.A", "this is null; write"),
        (16, "groups[0].tasks[0]", "asks for more than"),
        (17, "groups[0].tasks[1]", "`queue` inside a group:"),
        (17, "groups[0].tasks[1]", "a word of `command`"),
        (17, "groups[0].tasks[1]", "may run for 120"),
        (18, "groups[0].tasks[2].resources", "no resource is named"),
        (20, "groups[2].resources", "no resource is named"),
        (20, "groups[2].tasks[1].steps[0]", "this is '2'; write"),
        (21, "groups[3].tasks[0]", "this is 'foo'; write"),
    ]


@pytest.mark.parametrize(
    "wrong", ["resources: no", "resources: small, depends_on: [x]", "wrong: 1"]
)
def test_a_text_in_which_nothing_is_right_ends_soon(wrong: str) -> None:
    """For a name that is not there the nearest is looked for, among all: not 20,000 times."""
    head, _, _ = GOOD.partition("tasks")
    tasks = "".join(f"- {{name: t{n}, command: [a], {wrong}}}\n" for n in range(3000))
    found = check(f"{head}tasks:\n{tasks}")
    assert MAX_FAULTS <= len(found) <= MAX_FAULTS + 10
    assert found[-1].message == f"{MAX_FAULTS} faults were found, and no more looked for"


def test_all_names_and_resources_that_are_wrong_are_told() -> None:
    """Each at its place."""
    assert [(f.line, f.message) for f in check(NAMES)] == [
        (
            4,
            (
                "resources.big.with[0]: Flux's jobspec cannot ask for 'memory'; ask for nodes, "
                "slots, cores and GPUs"
            ),
        ),
        (6, "requires.x[0]: asks nothing: write `field` with `match`, `min` or `max`"),
        (
            6,
            (
                "requires.x[1]: `min` 'new' is not a version; write one to three numbers,"
                " such as '3.0.0'"
            ),
        ),
        (8, "tasks[0].resources: no resource is named 'smal'; did you mean 'small'?"),
        (8, "tasks[0].depends_on[0]: no task is named 'x'; known: 'b'"),
        (8, "tasks[0].depends_on[1]: no task is named 'y'; known: 'b'"),
        (9, "tasks[1].requires: no `requires` is named 'zz'; known: 'x'"),
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", Diagnostic(1, 1, "the jobspec is empty; it needs at least `version: 1` and `tasks`")),
        (
            "version: 1\ntasks:\n\t- a",
            Diagnostic(3, 1, "not YAML: while scanning for the next token"),
        ),
        (
            "version: 1\nversion: 1",
            Diagnostic(2, 1, "the key 'version' is there already, on line 1"),
        ),
    ],
)
def test_what_is_no_yaml_has_a_place_too(text: str, finding: Diagnostic) -> None:
    """The first thing that a reader of YAML stumbles over."""
    (found,) = check(text)
    assert (found.line, found.column, found.warning) == (finding.line, finding.column, False)
    assert found.message.startswith(finding.message)


LINES = (GOOD + BAD + NAMES).splitlines(keepends=True)


@given(st.lists(st.sampled_from(LINES), max_size=12).map("".join))
def test_a_text_is_fine_or_has_errors_as_it_is_planned_or_not(text: str) -> None:
    """The agent plans what `validate` lets pass; its own error is among those reported."""
    errors = [finding for finding in check(text) if not finding.warning]
    try:
        plan_text(text)
        told = ""
    except JobspecError as exc:
        told = str(exc)
    whats = [finding.message.rpartition("]: ")[2].rpartition(": ")[2] for finding in errors]
    assert bool(errors) == bool(told)
    assert not told or any(what in told for what in whats)


def test_files_are_checked_on_the_command_line(tmp_path: Path) -> None:
    """A line each with file, line and column, as editors read them; then the exit code."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD.replace("small: {", "other: {type: node, count: 1}, small: {"))
    bad.write_text(NAMES)
    runner = CliRunner()
    fine = runner.invoke(main, ["validate", str(good)])
    assert fine.exit_code == 0
    assert fine.stdout == (
        f"{good}:2:20: warning: resources.other: no task or group uses these resources\n"
    )
    assert fine.stderr == "1 file checked: 0 errors and 1 warning\n"
    assert runner.invoke(main, ["validate", "--strict", str(good)]).exit_code == 1
    both = runner.invoke(main, ["validate", str(bad), str(good)])
    assert both.exit_code == 1
    assert f"{bad}:8:29: tasks[0].resources: no resource is named 'smal'" in both.stdout
    assert both.stderr == "2 files checked: 7 errors and 1 warning\n"
    piped = runner.invoke(main, ["validate", "-"], input="version: 1\n")
    assert piped.stdout == "-:1:1: the jobspec has no `tasks`; there is nothing to run\n"
    gone = runner.invoke(main, ["validate", str(tmp_path / "gone.yaml"), str(good)])
    assert gone.exit_code == 2
    assert "gone.yaml: No such file" in gone.stderr
