"""For tests: badly written jobspecs, and some that look bad and are good.

Each is a text and whether it runs. They are what strangers send: the planner must answer each
with a plan or a JobspecError, and a daemon must go on after each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Text that steers terminals, shells, SQL, YAML and paths.
NASTY: Final = (
    "\x1b[31mred",
    "bell\a",
    "two\nlines",
    "carriage\rreturn",
    "quote\"s'`",
    "$(touch /tmp/x)",
    "🌈 é 日本",
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "a/b",
    "nul\0",
    "\u202egnp.exe",
    "\u2028separator",
    "'; DROP TABLE jobs; --",
    "-rf",
    "x" * 300,
)
_ONE: Final = {"one": {"type": "core", "count": 1}}


@dataclass(frozen=True)
class Evil:
    """One text. `runs`: None where either answer is right."""

    name: str
    text: str
    runs: bool | None = False


def _spec(*tasks: Any, **more: Any) -> str:
    document = {"version": 1, "resources": _ONE, "tasks": list(tasks), **more}
    return json.dumps(document, ensure_ascii=False)


def _task(name: str = "t", /, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": ["true"], "resources": "one", **more}


def _task_with(key: str, value: Any) -> dict[str, Any]:
    return {**_task(), key: value}


def _bomb() -> str:
    lines = ["version: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines)


def texts() -> Iterator[Evil]:
    """Texts that are no jobspec."""
    yield Evil("empty", "")
    yield Evil("blank", " \n\t\n")
    yield Evil("comment", "# nothing\n")
    yield Evil("binary", "".join(chr(n % 256) for n in range(4096)))
    yield Evil("nul", "version: 1\0")
    yield Evil("surrogate", 'version: 1\nname: "\\ud800"\n')
    yield Evil("words", "the quick brown fox")
    yield Evil("number", "42")
    yield Evil("list", "[1, 2]")
    yield Evil("two documents", "version: 1\n---\nversion: 1\n")
    yield Evil("a megabyte", "version: 1\nname: " + "x" * (1 << 20))
    yield Evil("a megabyte of nothing", "\n" * (1 << 20))
    yield Evil("three megabytes of brackets", "[" * (3 << 20))
    yield Evil("deep flow", "version: 1\ntasks: " + "[" * 10_000 + "]" * 10_000)
    yield Evil("deep block", "version: 1\n" + "".join(f"{' ' * n}a:\n" for n in range(1500)))
    yield Evil("deep JSON", '{"a":' * 50_000 + "1" + "}" * 50_000)
    yield Evil("alias bomb", _bomb())
    yield Evil("alias to itself", "version: 1\ntasks: &a [*a]\n")
    yield Evil("merge bomb", "version: 1\nname: &a {b: 1}\ntasks: {<<: [" + "*a, " * 5000 + "*a]}")
    yield Evil("tag", "version: 1\nname: !!python/object/apply:os.system ['touch /tmp/x']\n")
    yield Evil("many keys", "version: 1\n" + "".join(f"k{n}: 1\n" for n in range(50_000)))


def documents() -> Iterator[Evil]:
    """Jobspecs that are wrong in one place."""
    good = json.loads(_spec(_task()))
    yield Evil("duplicate key", "version: 1\nversion: 1\n" + _spec(_task())[1:])
    yield Evil("no version", json.dumps({"resources": _ONE, "tasks": [_task()]}))
    yield Evil("list of resources", _spec(_task(), resources=[{"type": "core", "count": 1}]))
    yield Evil("draft of one task", json.dumps({"version": 1, "task": {"command": ["x"]}}))
    yield Evil("draft with transform", _spec(_task(), task={"transform": [{"step": "write"}]}))
    yield Evil("cycle", _spec(_task("a", depends_on=["b"]), _task("b", depends_on=["a"])))
    yield Evil("itself", _spec(_task("a", depends_on=["a"])))
    yield Evil("unknown task", _spec(_task("a", depends_on=["nobody"])))
    yield Evil("unknown resource", _spec(_task(resources="nothing")))
    yield Evil("unknown key", _spec(_task(depend_on=["a"])))
    yield Evil("same name twice", _spec(_task("a"), _task("a"), _task("b", depends_on=["a"])))
    wrong: Any
    for wrong in (None, True, 7, -1, 1.5, 1e400, "", "x", [], [None], {}, {"a": {}}, [[[]]]):
        for key in ("version", "resources", "tasks", "groups", "requires", "attributes", "name"):
            if good.get(key) != wrong:
                text = json.dumps({**good, key: wrong})
                yield Evil(f"{key} is {wrong!r}", text, None)
        for key in ("command", "depends_on", "replicas", "resources", "attributes", "steps"):
            yield Evil(f"task's {key} is {wrong!r}", _spec(_task_with(key, wrong)), None)


def names() -> Iterator[Evil]:
    """Nasty text in each place where text may stand."""
    for nasty in NASTY:
        shown = ascii(nasty)[:24]
        yield Evil(f"task {shown}", _spec(_task(nasty)), None)
        yield Evil(f"job {shown}", _spec(_task(), name=nasty), None)
        yield Evil(f"group {shown}", _spec(_task(), groups=[{"name": nasty, "tasks": []}]), None)
        yield Evil(f"dependency {shown}", _spec(_task(depends_on=[nasty])))
        yield Evil(f"key {shown}", _spec(_task_with(nasty, 1)))
        yield Evil(f"resource {shown}", _spec(_task(resources=nasty)))
        cwd = {"cwd": nasty, "environment": {nasty: nasty}}
        yield Evil(f"attributes {shown}", _spec(_task(attributes=cwd)), None)


def large() -> Iterator[Evil]:
    """What is valid, and much. They run, each in a moment."""
    yield Evil("10,000 tasks", _spec(*(_task(f"t{n}") for n in range(10_000))), runs=True)
    few = [_task(f"t{n}") for n in range(10_000)]
    after = _task("last", depends_on=[task["name"] for task in few])
    yield Evil("10,000 dependencies of one task", _spec(*few, after), runs=True)
    chain = [_task("t0")]
    chain += [_task(f"t{n}", depends_on=[f"t{n - 1}"]) for n in range(1, 10_000)]
    yield Evil("a chain of 10,000", _spec(*reversed(chain)), runs=True)
    yield Evil("10,000 replicas", _spec(_task(replicas=10_000)), runs=True)
    yield Evil("too many replicas", _spec(_task(replicas=2_000_000_000)))


def corpus() -> list[Evil]:
    """All but what is large."""
    return [*texts(), *documents(), *names()]
