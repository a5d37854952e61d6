"""YAML text to a Document: what is accepted, and each error's words."""

from __future__ import annotations

import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.document import Attributes, Reference, Requirement, Script
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.words import Spot

HEAD = "version: 1\nresources: {r: {type: node, count: 1}}\n"
ANYWHERE = Spot("", 1, 1)


def command_of(written: str) -> object:
    """The command of a task written as `command: WRITTEN`."""
    return parse(f"{HEAD}tasks:\n- resources: r\n  command: {written}\n").tasks[0].command


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("[echo, yes, No, 1.0, 010, ~, null, 1e3, '']", "echo|yes|No|1.0|010|~|null|1e3|"),
        ("echo 'one word' two", "echo|one word|two"),
        ("true", "true"),
        ('[bash, -c, "a\\nb"]', "bash|-c|a\nb"),
        ("!!binary ZWNobyAiaGki", "echo|hi"),
    ],
)
def test_a_commands_words_are_text_as_written(written: str, words: str) -> None:
    """`yes` is the word yes, whatever YAML 1.1 thinks of it; a line is split as a shell does."""
    assert command_of(written) == tuple(words.split("|"))


@pytest.mark.parametrize(
    ("line", "interpreter"),
    [
        ("#!/bin/bash", ("bash",)),
        ("#!/bin/sh -eu", ("sh", "-eu")),
        ("#! /bin/python", ("python",)),
        ("#!/opt/conda/bin/python3 -u", ("/opt/conda/bin/python3", "-u")),
        ("#!/usr/bin/env -S bash -e", ("/usr/bin/env", "-S bash -e")),
    ],
)
def test_a_script_names_its_interpreter(line: str, interpreter: tuple[str, ...]) -> None:
    """The first line is split as the kernel does; the specification's three are found on PATH."""
    text = f"{line}\necho hi\n"
    assert command_of(f"|\n    {line}\n    echo hi\n") == Script(interpreter, text)


def test_everything_is_kept_typed() -> None:
    """Also what no plan uses yet is in the document."""
    document = parse(
        """
        version: 1
        name: all
        requires: {lammps: [{name: spack, field: type, match: package}]}
        resources:
          r:
            type: node
            replicas: 2
            exclusive: true
            schedule: true
            label: x
            requires: [{name: spack, field: ior, min: 3.0.0, max: '4.0'}]
            attributes: {duration: 5m, cwd: /x, environment: {A: yes}, watch: true, queue: q, b: x}
            with: [{type: core, count: 10, unit: x}]
        tasks:
        - {group: train, depends_on: [setup], name: t}
        - {name: setup, steps: [{name: stage, path: /tmp/x}], requires: lammps}
        - {local: true, command: a, replicas: 3}
        groups:
        - {name: train, resources: r, depends_on: [a], tasks: [{command: b}], groups: [{name: in}]}
        """
    )
    resource = document.resources["r"]
    assert (resource.replicas, resource.exclusive, resource.schedule) == (2, True, True)
    assert resource.requires == (
        Requirement("spack", {"field": "ior", "min": "3.0.0", "max": "4.0"}, ANYWHERE),
    )
    assert resource.attributes == Attributes(
        300, "/x", {"A": "yes"}, True, "q", (Reference("b", ANYWHERE),)
    )
    assert resource.children[0].unit == "x"
    group, setup, local = document.tasks
    assert group.group == Reference("train", ANYWHERE)
    assert setup.steps[0].path == "/tmp/x"
    assert setup.requires == Reference("lammps", ANYWHERE)
    assert (local.local, local.replicas) == (True, 3)
    assert document.groups[0].tasks[0].command == ("b",)
    assert document.groups[0].groups[0].name == "in"
    assert document.requires["lammps"][0].name == "spack"


def test_null_is_as_good_as_absent() -> None:
    """Programs that write YAML write null for what is not set."""
    full = parse(HEAD + "tasks: [{command: [a], resources: r, name: ~, depends_on: null, steps: }]")
    assert full == parse(HEAD + "tasks: [{command: [a], resources: r}]")


TASK = HEAD + "tasks:\n- "
RESOURCE = "version: 1\ntasks: []\nresources:\n  r: "


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("[]", "jobspec (line 1, column 1): this is a list; a jobspec is a mapping"),
        ("hello", "jobspec (line 1, column 1): this is 'hello'; a jobspec is a mapping"),
        ("tasks: []", "jobspec (line 1, column 1): no `version`; write version: 1"),
        ("version: 2", "version (line 1, column 10): this is '2'; the only version is the number"),
        ("version: '1'", "version (line 1, column 10): this is '1'; the only"),
        ("version: true", "version (line 1, column 10): this is 'true'"),
        ("version: 1\ntaks: []", "jobspec (line 2, column 1): unknown key 'taks'; did you mean"),
        ("version: 1\nxyz: []", "unknown key 'xyz'; known: 'version', 'name', 'requires', "),
        ("version: 1\ntasks: {a: b}", "tasks (line 2, column 8): this is a mapping; write a list"),
        ("version: 1\ntasks: [a]", "tasks[0] (line 2, column 9): this is 'a'; write a mapping"),
        ('version: 1\nname: "a\\nb"', "name (line 2, column 7): 'a\\nb' is not a name; write 1 to"),
        ("version: 1\nresources: {'': {}}", "resources[''] (line 2, column 13): '' is not a name"),
        (TASK + "{comand: [a]}", "tasks[0] (line 4, column 4): unknown key 'comand'; did"),
        (TASK + "{depend_on: [a]}", "unknown key 'depend_on'; did you mean 'depends_on'?"),
        (TASK + "{cwd: /x}", "unknown key 'cwd'; it belongs under `attributes`"),
        (TASK + "{resources: r}", "tasks[0] (line 4, column 3): nothing to run; write `command`"),
        (TASK + "{command: a, group: b}", "a task is a `group` or a `command`, not both"),
        (TASK + "{command: []}", "tasks[0].command (line 4, column 13): no program to run"),
        (TASK + "{command: ['']}", "no program to run"),
        (TASK + "{command: ' '}", "no program to run"),
        (TASK + "{command: [a, [b]]}", "tasks[0].command[1] (line 4, column 17): this is a list"),
        (TASK + "command:\n  - a\n  -\n", "tasks[0].command[1] (line 6, column 4): nothing is wri"),
        (TASK + "{command: {a: b}}", "tasks[0].command (line 4, column 13): this is a mapping"),
        (TASK + '{command: "a \'b"}', "a shell could not split this (unclosed quote)"),
        (TASK + "{command: '#!'}", "no interpreter after `#!`; write one, such as #!/bin/bash"),
        (TASK + "{command: a, depends_on: b}", "tasks[0].depends_on (line 4, column 28): this is"),
        (TASK + "{command: a, resources: {}}", "tasks[0].resources (line 4, column 27): this is a"),
        (TASK + "{command: a, replicas: 0}", "'0' is below 1; write 1 or more, or leave it out"),
        (
            TASK + "{command: a, replicas: -3}",
            "tasks[0].replicas (line 4, column 26): '-3' is below",
        ),
        (
            TASK + "{command: a, replicas: yes}",
            "this is 'yes'; write a whole number without quotes",
        ),
        (TASK + "{command: a, replicas: '4'}", "this is '4' in quotes; write a whole number"),
        (TASK + "{command: a, replicas: 2.0}", "this is '2.0'; write a whole number"),
        (TASK + "{command: a, replicas: 010}", "'010' begins with 0, which YAML reads as octal"),
        (TASK + "{command: a, replicas: 2147483648}", "above 2147483647, the most that is counted"),
        (TASK + "{command: a, replicas: " + "9" * 5000 + "}", "'... is above 2147483647"),
        (TASK + "{command: a, local: yes}", "tasks[0].local (line 4, column 23): this is 'yes'; "),
        (
            TASK + "{steps: [{name: stag}]}",
            "tasks[0].steps[0] (line 4, column 12): the only step is",
        ),
        (TASK + "{command: a, requires: [{field: x}]}", "a need has no `name`"),
        (TASK + "{command: a, requires: [{name: x, mtach: y}]}", "did you mean 'match'?"),
        (RESOURCE + "{count: 1}", "resources.r (line 4, column 6): no `type`; write one"),
        (RESOURCE + "{type: node}", "neither `count` nor `replicas`; write one"),
        (RESOURCE + "{type: node, count: 1, replicas: 1}", "both `count` and `replicas`"),
        (RESOURCE + "{type: node, count: 1, with: core}", "resources.r.with (line 4"),
        (RESOURCE + "{type: node, count: 1, cwd: /x}", "it belongs under `attributes`"),
        (
            RESOURCE + "{type: node, count: 1, with: [{type: core, count: 1, attributes: {}}]}",
            "resources.r.with[0] (line 4, column 36): `attributes` belong on the top",
        ),
    ],
)
def test_errors_say_where_what_and_how(written: str, error: str) -> None:
    """Each error has the place, what is wrong, and what to write."""
    with pytest.raises(JobspecError) as caught:
        parse(written)
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (
            "{duration: 5 minutes}",
            "attributes.duration (line 1, column 24): this is '5 minutes', wh",
        ),
        ("{duration: -1}", "write seconds, or a number with ms, s, m, h or d"),
        ("{duration: [1]}", "this is a list, which is not a duration"),
        ("{duraton: 1}", "unknown attribute 'duraton'; did you mean 'duration'?"),
        ("{env: {A: b}}", "unknown attribute 'env'; did you mean 'environment'?"),
        ("{timeout: 5}", "unknown attribute 'timeout'; did you mean 'duration'?"),
        ("{cwd: ''}", "an empty path"),
        ("{watch: 1}", "attributes.watch (line 1, column 21): this is '1'; write true or false"),
        ("{environment: [a]}", "this is a list; write a mapping"),
        ("{environment: {A=B: c}}", "'A=B' is not the name of a variable"),
        ("{environment: {A: }}", "attributes.environment.A (line 1, column 31): this is null"),
        ("{environment: {A: [b]}}", "this is a list; write text"),
        ("{results: [a]}", "results are found below `cwd`, which has to be a path from the root"),
        ("{cwd: data, results: [a]}", "results are found below `cwd`"),
        ("{cwd: /x, results: a}", "this is 'a'; write a list"),
        ("{cwd: /x, results: [a, ../b]}", "attributes.results[1] (line 1, column 36): '../b' is"),
        ("{cwd: /x, results: [/etc/passwd]}", "is not a pattern of files below `cwd`"),
        (f"{{cwd: /x, results: [{'a, ' * 101}]}}", "these are more than 100 patterns"),
    ],
)
def test_errors_in_attributes(written: str, error: str) -> None:
    """An attribute that would change what runs is not passed over."""
    with pytest.raises(JobspecError) as caught:
        parse(f"attributes: {written}\nversion: 1\ntasks: []\n")
    assert error in str(caught.value)


def test_results_are_of_the_whole_job() -> None:
    """Of a task or a resource they would mean several folders."""
    document = parse("version: 1\nattributes: {cwd: /x, results: [out/*, '**/log']}\ntasks: []")
    assert document.attributes.results == ("out/*", "**/log")
    with pytest.raises(JobspecError, match="write them under `attributes` at the top level"):
        parse("version: 1\ntasks: [{command: a, attributes: {cwd: /x, results: [a]}}]")


def test_no_error_shows_a_variables_value() -> None:
    """An environment holds secrets; a broken one is reported by name."""
    with pytest.raises(JobspecError) as caught:
        parse("version: 1\nattributes: {environment: {TOKEN: [hunter2]}}")
    assert "hunter2" not in str(caught.value)
    assert "TOKEN" in str(caught.value)


def test_a_documents_repr_shows_no_variables() -> None:
    """A document that ends up in a log does not tell its environment."""
    document = parse("version: 1\nattributes: {environment: {TOKEN: hunter2}}")
    assert document.attributes.environment == {"TOKEN": "hunter2"}
    assert "hunter2" not in repr(document)


def shuffled(value: object, rng: random.Random) -> object:
    """The same nested data with the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    return value


@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_says_nothing(rng: random.Random) -> None:
    """A document is the same in whatever order its mappings are written."""
    data = {
        "version": 1,
        "name": "n",
        "attributes": {"duration": "5m", "environment": {"A": "1", "B": "2"}},
        "resources": {
            "r": {"type": "node", "count": 2, "with": [{"type": "core", "count": 4}]},
            "s": {"type": "slot", "replicas": 2},
        },
        "tasks": [
            {"name": "a", "command": ["x"], "resources": "r", "replicas": 2},
            {"name": "b", "command": "y", "resources": "s", "depends_on": ["a"]},
        ],
    }
    assert parse(yaml.safe_dump(shuffled(data, rng), sort_keys=False)) == parse(yaml.dump(data))
