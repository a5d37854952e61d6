"""What rainbow's answers mean is decided in fleet/grpc, and nowhere above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rainbow_agent
from rainbow_agent.core import errors

_PACKAGE = Path(rainbow_agent.__file__).parent
#: Where texts of others are read, since that is where they come in.
_EDGES = ("fleet/grpc", "workload", "storage", "fleet/scheduler_server")
_METHODS = frozenset({"startswith", "endswith", "find", "index", "partition", "split"})


def _above_the_edges() -> list[Path]:
    return [
        path
        for path in sorted(_PACKAGE.rglob("*.py"))
        if not path.relative_to(_PACKAGE).as_posix().startswith(_EDGES)
    ]


def _is_text_of_an_error(node: ast.AST, caught: set[str]) -> bool:
    """Whether this is `str(exc)` or `exc.args[...]` of an error that was caught."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str":
        return any(isinstance(arg, ast.Name) and arg.id in caught for arg in node.args)
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "args"
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id in caught
    )


def texts_looked_into(tree: ast.AST) -> Iterator[int]:
    """The lines where the program decides by the text of an error."""
    caught = {n.name for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(op, (ast.In, ast.NotIn)) and _is_text_of_an_error(right, caught)
            for op, right in zip(node.ops, node.comparators, strict=True)
        ):
            yield node.lineno
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _METHODS
            and _is_text_of_an_error(node.func.value, caught)
        ):
            yield node.lineno


def test_no_text_of_an_error_is_looked_into_above_the_edges() -> None:
    """A class says what an error means; its text is for people."""
    found = [
        f"{path.relative_to(_PACKAGE)}:{line}"
        for path in _above_the_edges()
        for line in texts_looked_into(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "decision",
    [
        '"exists" in str(exc)',
        '"exists" not in str(exc)',
        'str(exc).startswith("x")',
        '"x" in exc.args[0]',
    ],
)
def test_such_a_decision_is_found(decision: str) -> None:
    """The test above can fail."""
    source = f"try:\n    f()\nexcept OSError as exc:\n    print({decision})\n"
    assert list(texts_looked_into(ast.parse(source))) == [4]


def test_each_class_means_what_it_says() -> None:
    """An error is to be waited out, refused, or fatal, and never two of these."""
    kinds = (errors.Transient, errors.Refused, errors.Fatal)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.RainbowAgentError):
            assert sum(issubclass(kind, base) for base in kinds) <= 1, kind
            assert (kind.exit_code == 42) == issubclass(kind, errors.Fatal), kind
    assert not issubclass(errors.LedgerBlocked, errors.Fatal), "a full disk is waited out"
