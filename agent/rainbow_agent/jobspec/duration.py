"""Durations as Flux writes them (RFC 23, Flux Standard Duration)."""

from __future__ import annotations

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(ms|s|m|h|d)?", re.ASCII)
_UNLIMITED = frozenset({"inf", "infinity", "INF", "INFINITY"})

#: What to write, for error messages.
EXAMPLES = "write seconds, or a number with ms, s, m, h or d: 300, 300s, 5m, 0.5h, 1d"


def parse_duration(text: str) -> float | None:
    """Seconds in a duration; 0 for one without limit; None when it is no duration.

    Args:
        text: for example `300`, `300s`, `5m`, `0.5h`, `1d`, `infinity`.
    """
    if text in _UNLIMITED:
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    return seconds if math.isfinite(seconds) else None
