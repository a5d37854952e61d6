"""Rainbow's `constraint` selection as it is written: priorities, each a list of steps (YAML)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

#: The steps that there are, with what is written after each.
STEPS: Final = ("filter", "calc", "sort_descending", "sort_ascending")
SELECT: Final = "select"
PICKS: Final = ("random", "first", "last")

_FORM: Final = "priorities must be a list of {priority, steps: [{KIND: TEXT}]}"


@dataclass(frozen=True)
class SelectionStep:
    """One step: `filter: EXPR`, `calc: VAR=EXPR`, `sort_ascending: VAR`, `select: first`, ..."""

    kind: str
    argument: str


Priority = tuple[SelectionStep, ...]


def parse_priorities(options: Mapping[str, str]) -> list[Priority]:
    """Priorities from the option `priorities`, the lowest number first.

    Raises:
        ValueError: there is no such option, or it cannot be read.
    """
    if "priorities" not in options:
        raise ValueError(
            "the constraint selection algorithm requires priorities to be defined in options"
        )
    try:
        entries = yaml.safe_load(options["priorities"])
        ranked = sorted(entries or [], key=_number)
        return [
            tuple(
                _step(str(kind), str(argument).strip())
                for step in entry["steps"]
                for kind, argument in step.items()
            )
            for entry in ranked
        ]
    except (yaml.YAMLError, RecursionError) as exc:
        raise ValueError(f"yaml: the priorities cannot be read: {exc}") from exc
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError(_FORM) from exc


def priorities_text(priorities: list[Priority]) -> str:
    """The option's text for priorities in this order."""
    entries = [
        {"priority": number, "steps": [{step.kind: step.argument} for step in steps]}
        for number, steps in enumerate(priorities, 1)
    ]
    return yaml.safe_dump(entries, sort_keys=False)


def _number(entry: Mapping[str, Any]) -> int:
    try:
        return int(entry.get("priority", 0))
    except ValueError as exc:
        raise ValueError(_FORM) from exc


def _step(kind: str, argument: str) -> SelectionStep:
    """A step that can be taken: what is wrong with it is said before any job depends on it."""
    if kind == SELECT and argument not in PICKS:
        raise ValueError(f"{argument} is not a valid select method")
    if kind not in STEPS and kind != SELECT:
        raise ValueError(f"{kind} is not a step: use {', '.join(STEPS)} or {SELECT}")
    return SelectionStep(kind, argument)
