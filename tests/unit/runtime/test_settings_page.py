"""docs/settings.md has every setting, as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.settings import (
    env_name,
    load,
    setting_fields,
)

DOCS = Path(__file__).parents[3] / "docs" / "settings.md"


def documented() -> dict[str, tuple[str, str]]:
    """Variable to (default, meaning), from the table in docs/settings.md."""
    row = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
    return {m[1]: (m[2], m[3]) for m in row.finditer(DOCS.read_text(encoding="utf-8"))}


def test_every_setting_is_documented_and_nothing_else() -> None:
    """docs/settings.md has one row a setting, in the same order."""
    assert list(documented()) == [env_name(spec.name) for spec in setting_fields()]


@pytest.mark.parametrize("spec", setting_fields(), ids=lambda spec: str(spec.name))
def test_documented_meaning_and_default_are_the_real_ones(spec: object) -> None:
    """The row has the help text word for word, and the default that a run really gets."""
    name, metadata = spec.name, spec.metadata  # type: ignore[attr-defined] # Field is untyped here
    default, meaning = documented()[env_name(name)]
    assert meaning.startswith(metadata["help"])
    real = getattr(load({}, hostname="blue-0"), name)
    if isinstance(real, (int, float)) and real:
        assert default.strip("`") != default
        assert metadata["parse"](default.strip("`")) == real
    elif isinstance(real, (str, Address)) and real and name != "cluster":
        assert default == f"`{real}`"
    else:
        assert "`" not in default, "a default that depends on the machine is given in words"


def test_secrets_are_marked_in_the_documentation() -> None:
    """A reader sees which settings can come from a file."""
    marked = {name for name, (_, meaning) in documented().items() if "`_FILE`" in meaning}
    assert marked == {env_name(s.name) for s in setting_fields() if s.metadata.get("secret")}
