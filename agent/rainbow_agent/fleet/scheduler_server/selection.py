"""Which of the clusters that fit gets the job: the algorithms `random` and `constraint`.

As the Go server's (plugins/selection), with its intent where its code does something else: there
a filter keeps clusters for which it is false, sorting has no effect, and what one request
calculates, or gives as its priorities, stays for the next.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

import yaml

from rainbow_agent.fleet.priorities import Priority, parse_priorities
from rainbow_agent.fleet.scheduler_server.expression import CannotEvaluate, Expression
from rainbow_agent.fleet.scheduler_server.failure import Failure

log = logging.getLogger(__name__)

State = Mapping[str, Any]
States = Mapping[str, State]
Choose = Callable[[Sequence[str]], str]


class Algorithm(str, Enum):
    """Names of the algorithms, as they stand in a request."""

    RANDOM = "random"
    CONSTRAINT = "constraint"


def select(
    algorithm: str,
    options: Mapping[str, str],
    states: States,
    jobspec: str,
    *,
    satisfy_only: bool,
    choose: Choose = secrets.choice,
) -> list[str]:
    """The cluster that gets the job.

    Args:
        algorithm: `random` or `constraint`.
        options: for `constraint`: `priorities`, YAML text (see `_parse`).
        states: the candidates, in order, with what each last reported.
        jobspec: YAML text; `constraint` reads `attributes.parameter` from it.
        satisfy_only: whether to return all that could be chosen instead.
        choose: picks one of several.

    Returns:
        One name, or none if no cluster passes; all that pass with `satisfy_only`.

    Raises:
        Failure: the algorithm is unknown, or its options cannot be read.
    """
    if algorithm == Algorithm.RANDOM:
        names = list(states)
        return names if satisfy_only or not names else [choose(names)]
    if algorithm == Algorithm.CONSTRAINT:
        found = _constrained(_parse(options), states, _parameters(jobspec), satisfy_only, choose)
        return [name for name in found if name in states]
    raise Failure(f"did not find algorithm named {algorithm}")


def check(algorithm: str, options: Mapping[str, str]) -> None:
    """Raise Failure if an algorithm cannot be used with these options."""
    select(algorithm, options, {}, "", satisfy_only=True)


_Ranked = dict[str, dict[str, Any]]  # the clusters that are left, in order, with their names


def _constrained(
    priorities: Sequence[Priority],
    states: States,
    parameters: Mapping[str, Any],
    satisfy_only: bool,
    choose: Choose,
) -> list[str]:
    """Go through the priorities until one leaves clusters; each starts from all of them."""
    left: _Ranked = {}
    for steps in priorities if states else ():
        left = {name: {**parameters, **state} for name, state in states.items()}
        for step in steps:
            if step.kind == "select":
                names = list(left)
                return names if satisfy_only else [_PICKS[step.argument](names, choose)]
            left = _STEPS[step.kind](step.argument, left)
            if not left:
                break
    return list(left)


def _filter(text: str, left: _Ranked) -> _Ranked:
    expression = Expression(text)
    return {name: known for name, known in left.items() if _value(expression, name, known) is True}


def _calc(text: str, left: _Ranked) -> _Ranked:
    variable, expression = _assignment(text)
    for name, known in left.items():
        value = _value(expression, name, known)
        if value is not None:
            known[variable] = value
    return left


def _assignment(text: str) -> tuple[str, Expression]:
    variable, equals, formula = text.partition("=")
    if not equals or not variable.strip():
        raise Failure(f"logic expression {text} is not valid, should be in format var=expr")
    return variable.strip(), Expression(formula)


def _sort(variable: str, left: _Ranked, *, descending: bool) -> _Ranked:
    """Order by a number; a cluster that has none is out."""
    numbered = [
        (known[variable], name)
        for name, known in left.items()
        if isinstance(known.get(variable), (int, float))
    ]
    numbered.sort(key=lambda pair: pair[0], reverse=descending)
    return {name: left[name] for _, name in numbered}


_STEPS: Final[Mapping[str, Callable[[str, _Ranked], _Ranked]]] = {
    "filter": _filter,
    "calc": _calc,
    "sort_descending": lambda variable, left: _sort(variable, left, descending=True),
    "sort_ascending": lambda variable, left: _sort(variable, left, descending=False),
}


_PICKS: Final[Mapping[str, Callable[[list[str], Choose], str]]] = {
    "random": lambda names, choose: choose(names),
    "first": lambda names, _: names[0],
    "last": lambda names, _: names[-1],
}


def _value(expression: Expression, name: str, known: Mapping[str, Any]) -> Any:
    """An expression's value for one cluster; None where it has none there."""
    try:
        return expression.evaluate(known)
    except CannotEvaluate as exc:
        log.info("Cluster %s: %s", name, exc, extra={"action": "no_value", "cluster": name})
        return None


def _parse(options: Mapping[str, str]) -> list[Priority]:
    """The priorities; expressions that are none are found before any job depends on them."""
    try:
        priorities = parse_priorities(options)
    except ValueError as exc:
        raise Failure(str(exc)) from exc
    for step in (step for steps in priorities for step in steps):
        if step.kind == "filter":
            Expression(step.argument)
        if step.kind == "calc":
            _assignment(step.argument)
    return priorities


def _parameters(jobspec: str) -> Mapping[str, Any]:
    """`attributes.parameter` of the jobspec: names for the expressions."""
    try:
        found = yaml.safe_load(jobspec)["attributes"]["parameter"]
    except (KeyError, TypeError):
        return {}
    except (yaml.YAMLError, RecursionError) as exc:
        raise Failure(f"yaml: the jobspec cannot be read: {exc}") from exc
    return found if isinstance(found, dict) else {}
