"""Exit status 42 only where a person must act and that is certain: docs/operations.md has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import rainbow_agent
from rainbow_agent.core import errors
from rainbow_agent.workload.flux.bindings import BindingsMissing

SOURCE = Path(rainbow_agent.__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
#: Errors that end the daemon with 42; LedgerCorrupt has a new ledger made instead.
NAMES = {
    name
    for name, error in {**vars(errors), "BindingsMissing": BindingsMissing}.items()
    if isinstance(error, type)
    and issubclass(error, errors.Fatal)
    and error is not errors.LedgerCorrupt
}


def raised(node: ast.AST, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The functions below a node in which one of them is made."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield from raised(child, (*path, child.name))
            continue
        if isinstance(child, ast.Call) and ast.unparse(child.func) in NAMES:
            yield ".".join(path)
        yield from raised(child, path)


def test_the_page_has_every_place_and_no_other() -> None:
    """A new one needs its reason in the table; one that is gone has no line any more."""
    found = {
        (str(path.relative_to(SOURCE)), function)
        for path in SOURCE.rglob("*.py")
        for function in raised(ast.parse(path.read_text(encoding="utf-8")))
    }
    table = PAGE.read_text(encoding="utf-8").split("## Exit status 42")[1].split("\n## ")[0]
    listed = re.findall(r"\| `([\w/.]+)` `([\w.]+)` \|$", table, re.MULTILINE)
    assert set(listed) == found
    assert len(NAMES) >= 3
