"""Which of the clusters that fit gets a job, chosen on our side by what they last reported.

The real server's `constraint` selection keeps clusters for which a filter is false, and sorts
nothing (docs/decisions/0112). It does leave out a cluster for which an expression has no value, and
names those that are left when asked with `satisfy_only`. So every filter is sent in a form that has
no value where it is false, and the best of a sort is found by asking for less and less of them.
The embedded scheduler answers the same. The job itself is then sent to exactly one cluster.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.priorities import (
    Priority,
    SelectionStep,
    parse_priorities,
    priorities_text,
)
from rainbow_agent.fleet.rainbow_config import RainbowConfig
from rainbow_agent.jobspec.wire import to_wire

#: A name that no cluster reports: an expression that needs it has no value.
_NO_VALUE: Final = "not_kept"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
#: Thresholds lie as close as 1/1024 of the value, from 2**-20 to 2**43, and 0.
_FINE: Final = 1024
_SMALLEST: Final = -20  # as a power of two
_MOST: Final = 64 * _FINE
_SELECT: Final = SelectionStep("select", "first")
_CONSTRAINT: Final = "constraint"
_RANDOM: Final = "random"


class NoClusterFits(RainbowAgentError):
    """No cluster of the fleet matches the job, or none that we may or want to use."""


@dataclass(frozen=True)
class Key:
    """What clusters are compared by."""

    expression: str  # of what they report
    most: bool  # the one with the most of it is the best; else the one with the least


@dataclass(frozen=True)
class Selection:
    """How one of the clusters that fit is chosen; nothing set: the server chooses."""

    cluster: str = ""  # this one
    prefer: tuple[Key, ...] = ()  # the best by the first; of equals by the next
    once: str = ""  # the job's key: the same cluster each time
    algorithm: str = ""  # of the server; `constraint` is carried out here
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def on_our_side(self) -> bool:
        """Whether one cluster is chosen here, and the server is left no choice."""
        by_key = self.once and self.algorithm in ("", _RANDOM)
        return bool(self.cluster or self.prefer or by_key or self.algorithm == _CONSTRAINT)


#: Preferences that have a name.
NAMED: Final[Mapping[str, tuple[Key, ...]]] = {
    # The largest share of cores free; where all are in use, the fewest jobs that are not over.
    "least-loaded": (Key("cores_free / cores_up", most=True), Key("jobs_open", most=False)),
    "cheapest": (Key("cost_per_node_hour", most=False),),
}


def preference(text: str) -> tuple[Key, ...]:
    """What `--prefer` says: a name of NAMED, or `KEY`, `KEY:desc`, `KEY:asc`.

    Raises:
        UsageError: it says nothing.
    """
    if text in NAMED:
        return NAMED[text]
    expression, colon, order = text.rpartition(":")
    if not colon:
        expression, order = text, "desc"
    if not expression.strip() or order not in ("asc", "desc"):
        raise UsageError(
            f"--prefer {text}: write {' or '.join(NAMED)}, or what clusters report, such as"
            " cores_free:desc (the most) or cost_per_node_hour:asc (the least)"
        )
    return (Key(expression.strip(), most=order == "desc"),)


def selection_of(
    config: RainbowConfig | None,
    *,
    cluster: str | None = None,
    prefer: Sequence[str] = (),
    select: str | None = None,
    once: str = "",
) -> Selection:
    """How one of the clusters is chosen: by what is given here, else by the config file.

    Args:
        config: the file; None where there is none.
        cluster: this one.
        prefer: as of preference(), the first counts most.
        select: a selection algorithm.
        once: the job's key.

    Raises:
        UsageError: a preference says nothing.
    """
    # The file says `random` unless it was edited; the server's own default may be another.
    own = config.selection if config and config.selection != _RANDOM else ""
    algorithm = select or ("" if cluster or prefer else own)
    options = config.selection_options if config and algorithm == own else {}
    keys = tuple(key for text in prefer for key in preference(text))
    return Selection(cluster or "", keys, once, algorithm, options)


def choose(
    scheduler: Scheduler,
    usable: Mapping[str, str],
    document: Mapping[str, Any],
    selection: Selection,
) -> str:
    """One of the clusters that fit.

    Args:
        scheduler: the rainbow scheduler.
        usable: the clusters that fit, with their tokens; at least one.
        document: the jobspec; its `attributes.parameter` are names for expressions.
        selection: how to choose; with `cluster` it is among those usable.

    Raises:
        NoClusterFits: none passes the selection, or none reports what is preferred.
        UsageError: the priorities of a `constraint` selection cannot be read.
    """
    if selection.cluster:
        return selection.cluster
    states = _States(scheduler, usable, document)
    if selection.prefer:
        names = states.best_of(_taking(states, list(usable)), selection.prefer, ())
        return _one_of(names, selection.once)
    if selection.algorithm == _CONSTRAINT:
        return _constrained(states, list(usable), selection)
    return _one_of(list(usable), selection.once)


def _taking(states: _States, names: Sequence[str]) -> Sequence[str]:
    """Without those that are draining, unless all are: a job would wait there in rainbow."""
    draining = states.passing(names, (SelectionStep("filter", "draining > 0"),))
    return [name for name in names if name not in draining] or names


def _one_of(names: Sequence[str], once: str) -> str:
    """Any of them; for a key the same one whenever it is among them."""
    if not once:
        return secrets.choice(names)
    return max(names, key=lambda name: hashlib.sha256(f"{once}\0{name}".encode()).digest())


def _constrained(states: _States, names: Sequence[str], selection: Selection) -> str:
    """What the server's `constraint` selection is meant to do, priority by priority."""
    try:
        priorities = parse_priorities(selection.options)
    except ValueError as exc:
        raise UsageError(
            f"the selection `constraint`: {exc} (scheduler.algorithms.selection.options of the"
            " config file)"
        ) from exc
    for priority in priorities:
        before = tuple(step for step in priority if step.kind in ("filter", "calc"))
        left: Sequence[str] = states.passing(names, before)
        sorts = [step for step in priority if step.kind.startswith("sort")]
        pick = next((step.argument for step in priority if step.kind == "select"), "first")
        if left and sorts and pick != "random":
            most = (sorts[-1].kind == "sort_descending") == (pick == "first")
            key = Key(f"[{sorts[-1].argument}]", most)
            left = states.best_of(left, (key,), before, required=False)
        if left:
            return (
                _one_of(left, selection.once) if pick == "random" else left[pick != "first" and -1]
            )
    raise NoClusterFits(
        f"these clusters fit: {', '.join(names)}; but none passes the selection `constraint` of the"
        " config file"
    )


class _States:
    """What clusters last reported, as far as the server can be asked about it."""

    def __init__(
        self, scheduler: Scheduler, tokens: Mapping[str, str], document: Mapping[str, Any]
    ) -> None:
        self._scheduler = scheduler
        self._tokens = tokens
        attributes = document.get("attributes")
        parameter = attributes.get("parameter") if isinstance(attributes, Mapping) else None
        # The server reads this text; a whole jobspec may be one that its parser does not take.
        given = {"attributes": {"parameter": parameter}} if isinstance(parameter, Mapping) else {}
        self._text = to_wire({"version": 1, **given})

    def passing(self, names: Sequence[str], steps: Priority) -> list[str]:
        """Of these clusters, in order, those for which every filter is true."""
        if not names:
            return []
        kept = tuple(
            SelectionStep(s.kind, f"({s.argument}) || {_NO_VALUE}") if s.kind == "filter" else s
            for s in steps
        )
        found = self._scheduler.submit(
            "ask",
            {name: self._tokens[name] for name in names},
            self._text,
            select=_CONSTRAINT,
            select_options={"priorities": priorities_text([(*kept, _SELECT)])},
            satisfy_only=True,
        )
        return [name for name in names if name in found]

    def best_of(
        self,
        names: Sequence[str],
        keys: Sequence[Key],
        before: Priority,
        *,
        required: bool = True,
    ) -> Sequence[str]:
        """The best by the keys, one after the other; those that are equal by all of them.

        Raises:
            NoClusterFits: no cluster reports what the first key needs, and it is required.
        """
        for key in keys:
            found = self._best(names, key, before)
            if not found and required and key is keys[0]:
                raise NoClusterFits(
                    f"none of the clusters that fit ({', '.join(names)}) reports a number for"
                    f" {key.expression!r}"
                )
            names = found or names
        return names

    def _best(self, names: Sequence[str], key: Key, before: Priority) -> Sequence[str]:
        """The clusters with the most, or least, of a key; none where none has a number for it."""
        plain = _PLAIN_NAME.fullmatch(key.expression)
        value = f"[{key.expression}]" if plain else f"({key.expression})"
        value = value if key.most else f"(0 - {value})"

        def at_least(number: float) -> list[str]:
            return self.passing(names, (*before, SelectionStep("filter", f"{value} >= {number:f}")))

        low, high = -_MOST - 1, _MOST + 1
        names = at_least(_threshold(low))
        while len(names) > 1 and high - low > 1:
            middle = (low + high) // 2
            more = at_least(_threshold(middle))
            if more:
                names, low = more, middle
            else:
                high = middle
        return names


def _threshold(place: int) -> float:
    """Numbers in order, dense where they are small: whole ones up to 2,048 are all there."""
    if abs(place) > _MOST:
        return float(place) * 1e18
    if place == 0:
        return 0.0
    octave, part = divmod(abs(place) - 1, _FINE)
    number = 2.0 ** (octave + _SMALLEST) * (1 + part / _FINE)
    return number if place > 0 else -number
