"""RFC 31 constraints, evaluated for a single node of rank 0 without properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rainbow_agent.core.errors import Rejected

_RANK = 0
#: A hostlist (RFC 29) term: a prefix, ranges in brackets, a suffix.
_TERM = re.compile(r"^([^\[\],]*)(?:\[([0-9,\-]+)\]([^\[\],]*))?$")
_MAX_OPERATOR_DEPTH = 32


def admits(constraint: Any, host: str, depth: int = 0) -> bool:
    """Whether a constraint lets a job run on this host.

    Args:
        constraint: `attributes.system.constraints` of a jobspec.
        host: this machine's name.
        depth: how deep in and/or/not this constraint stands.

    Raises:
        Rejected: it is not a constraint of RFC 31.
    """
    if not isinstance(constraint, Mapping):
        raise Rejected("constraint must be JSON object")
    if depth > _MAX_OPERATOR_DEPTH:
        raise Rejected("constraints are nested too deeply")
    return all(_operator(name, args, host, depth) for name, args in constraint.items())


def _operator(name: str, args: Any, host: str, depth: int) -> bool:
    if not isinstance(args, list):
        raise Rejected(f"{name} operator value must be an array")
    if name in ("and", "or", "not"):
        # A list, so that an argument that is not a constraint is found wherever it stands.
        answers = [admits(arg, host, depth + 1) for arg in args]
        if name == "or":
            return any(answers)
        return all(answers) is (name == "and")
    words = [_word(name, arg) for arg in args]
    if name == "ranks":
        return any(_in_idset(_RANK, word) for word in words)
    if name == "hostlist":
        return any(_in_hostlist(host, word) for word in words)
    if name == "properties":  # a `^` negates; this node has none
        return all(word.startswith("^") for word in words)
    raise Rejected(f"unknown constraint operator: {name}")


def _word(name: str, arg: Any) -> str:
    if not isinstance(arg, str):
        raise Rejected(f"invalid {name} argument: expected a string")
    return arg


def _ranges(text: str) -> list[tuple[int, int, int]]:
    """First, last and digits of each part of `0-3,07`.

    Raises:
        Rejected: it is not an idset.
    """
    parts = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise Rejected(f"invalid idset: {text!r}")
        parts.append((int(first), int(last or first), len(first)))
    return parts


def _in_idset(number: int, text: str) -> bool:
    return any(low <= number <= high for low, high, _ in _ranges(text.strip("[]")))


def _in_hostlist(host: str, hostlist: str) -> bool:
    """Whether RFC 29 text such as `blue-[0-3,07],red` has the host; nothing is expanded."""
    terms = re.split(r",(?![^\[]*\])", hostlist)
    matches = [_TERM.match(term) for term in terms]
    if not all(matches):
        raise Rejected(f"invalid hostlist: {hostlist!r}")
    return any(match is not None and _is_named(host, *match.groups()) for match in matches)


def _is_named(host: str, prefix: str, ranges: str | None, suffix: str | None) -> bool:
    if ranges is None:
        return host == prefix
    suffix = suffix or ""
    digits = host[len(prefix) : len(host) - len(suffix)]
    if not (host.startswith(prefix) and host.endswith(suffix) and digits.isdecimal()):
        return False
    return any(
        low <= int(digits) <= high and digits == f"{int(digits):0{width}d}"
        for low, high, width in _ranges(ranges)
    )
