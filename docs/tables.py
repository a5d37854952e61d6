"""Write the tables of the docs that are made from the code: `python docs/tables.py`.

Settings, conditions and metrics are declared once, with their meaning, where they are used. A page
has a table between two comments, so that it can be read in the repository as well as on the site;
a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rainbow_agent.cli.config import as_written
from rainbow_agent.monitoring.condition_advice import advice_for
from rainbow_agent.monitoring.metric_definitions import METRIC_DEFINITIONS
from rainbow_agent.runtime.conditions import LOOP_STUCK_MEANING, ConditionName, loop_stuck
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import env_name, setting_fields

DOCS = Path(__file__).parent
_BY_TABLE = r"(?P<begin><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)"
#: A page that a sentence names.
_PAGE = re.compile(r"\b(?:docs/)?([\w-]+\.md)")


def settings() -> Iterator[Iterable[str]]:
    """A row for each setting: its variable, default and meaning."""
    yield "variable", "default", "meaning"
    for spec in setting_fields():
        meaning, _, words = spec.metadata["help"].partition("; default: ")
        value = as_written(spec.default, spec.metadata["parse"])
        secret = " (a secret: also with `_FILE`)" if isinstance(spec.default, Secret) else ""
        # A folder, or a number, that is found out when the program starts is `.` or 0 before.
        default = f"`{value}`" if value not in (None, ".", "0") else words or "none"
        yield f"`{env_name(spec.name)}`", words or default, meaning + secret


def conditions() -> Iterator[Iterable[str]]:
    """A row for each condition: its name, what it means, what to do."""
    yield "name", "means", "to do"
    meanings = {name.value: name.meaning for name in ConditionName}
    for name, meaning in {**meanings, loop_stuck("NAME"): LOOP_STUCK_MEANING}.items():
        yield f"`{name}`", meaning, advice_for(name) or ""


def metrics() -> Iterator[Iterable[str]]:
    """A row for each metric: its name, kind, sentence, labels, and what to do about it."""
    yield "metric", "kind", "what it is", "labels", "to do"
    for each in METRIC_DEFINITIONS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        yield f"`{each.name}`", each.kind.value, each.text, labels, each.to_do


#: Where each table stands.
TABLES: dict[str, tuple[str, Callable[[], Iterator[Iterable[str]]]]] = {
    "settings": ("settings.md", settings),
    "conditions": ("operations.md", conditions),
    "metrics": ("monitoring/README.md", metrics),
}


def table(rows: Iterator[Iterable[str]]) -> str:
    """Rows in Markdown; the first one has the names of the columns."""
    names = list(next(rows))
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def page(name: str) -> str:
    """A page with its tables as they are now."""
    above = "../" * name.count("/")

    def anew(found: re.Match[str]) -> str:
        text = table(TABLES[found["name"]][1]())
        return found["begin"] + _PAGE.sub(rf"[\1]({above}\1)", text) + found["end"]

    return re.sub(_BY_TABLE, anew, (DOCS / name).read_text("utf-8"), flags=re.DOTALL)


def main() -> None:
    """Write all of them."""
    for name in dict.fromkeys(name for name, _ in TABLES.values()):
        (DOCS / name).write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
