"""Modules and functions are short enough to be read at once."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Generated code, and recorded machines, which are data.
EXEMPT = ("agent/rainbow_agent/fleet/grpc/stubs", "tests/fixtures")
#: Lines at most.
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 49
DEF = re.compile(r"( *)(?:async )?def ")


def test_no_module_and_no_function_is_long() -> None:
    """In the product, the tests and the benchmarks alike."""
    files = [
        path
        for folder in ("agent", "compspec", "tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(EXEMPT)
    ]
    assert len(files) > 500, "the sources are where they are looked for"
    assert [line for path in files for line in too_long(path)] == []


def too_long(path: Path) -> list[str]:
    """What is too long in a module."""
    text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
    count = text.count("\n")
    found = [f"{name}: {count} lines"] if count > MAX_MODULE_LINES else []
    for node in ast.walk(ast.parse(text)) if may_have_a_long_function(text) else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                found.append(f"{name}: {node.name}: {lines} lines")
    return found


def may_have_a_long_function(text: str) -> bool:
    """Whether a `def` has no other beside or above it for so many lines; parsing takes seconds."""
    open_since: dict[int, int] = {}  # by indentation
    lines = text.splitlines()
    for number, line in enumerate([*lines, "def end():"]):
        if match := DEF.match(line):
            depth = len(match[1])
            for inner in [each for each in open_since if each >= depth]:
                if number - open_since.pop(inner) > MAX_FUNCTION_LINES:
                    return True
            open_since[depth] = number
    return False
