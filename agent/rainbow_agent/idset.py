"""Sets of numbers as Flux writes them (RFC 22)."""

from __future__ import annotations

from collections.abc import Iterable


def idset(ids: Iterable[int]) -> str:
    """Numbers in Flux's notation: `0-3,7`."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in runs)
