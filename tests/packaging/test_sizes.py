"""Modules and functions are short enough to be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Generated code, and recorded machines, which are data.
EXEMPT = ("agent/rainbow_agent/fleet/grpc/stubs", "tests/fixtures")
#: Lines at most.
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 49


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
    found = [
        f"{name}: {node.name}: {lines} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    count = text.count("\n")
    return found + ([f"{name}: {count} lines"] if count > MAX_MODULE_LINES else [])
