"""One name has one meaning: no two modules of a package define it at their top."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent/rainbow_agent", "compspec/rainbow_compspec")


def public_names(tree: ast.Module) -> Iterator[str]:
    """Classes and constants of a module, without what is its own and type variables."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id.isupper() and len(target.id) > 1:
                    yield target.id


@pytest.mark.parametrize("package", PACKAGES)
def test_a_public_name_is_defined_once(package: str) -> None:
    """Import what means the same; rename what does not."""
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / package).rglob("*.py")):
        if "stubs" not in path.parts:
            for name in public_names(ast.parse(path.read_text("utf-8"))):
                if not name.startswith("_"):
                    modules[name].append(str(path.relative_to(ROOT / package)))
    assert len(modules) > 100, "the sources are where they are looked for"
    assert {name: where for name, where in modules.items() if len(where) > 1} == {}
