"""`extract --explain`: where each value was read, what else was there, and why this one won."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rainbow_compspec.reading import Choice, Origin, Reading

VALUE_LIMIT = 100
"""Characters of a value that are shown: a list of CPU features has two thousand."""


def explain(readings: Mapping[str, Reading]) -> str:
    """Returns the text for people.

    Args:
        readings: probe -> reading, as `probes.run` returns them.
    """
    return "\n".join(line for reading in readings.values() for line in _probe(reading)) + "\n"


def _probe(reading: Reading) -> Iterator[str]:
    yield f"{reading.probe}: {reading.status.value}" + (
        f": {reading.reason}" if reading.reason else ""
    )
    for key, value in reading.values.items():
        yield f"  {key} = {_short(value)}"
        yield from _why(reading.origin_of(key), reading.choice_of(key))
    for name, rows in reading.tables.items():
        yield f"  {name}: a table of {len(rows)}"
        yield from _why(reading.origin_of(name), reading.choice_of(name))
        for key in rows:
            if f"{name}.{key}" in reading.choices:
                yield f"  {name}.{key} = {_short(rows[key])}"
                yield from _why(
                    reading.origin_of(f"{name}.{key}"), reading.choices[f"{name}.{key}"]
                )
    yield from (f"  warning: {warning}" for warning in reading.warnings)


def _why(origin: Origin, choice: Choice | None) -> Iterator[str]:
    source = origin.source or "nothing"
    yield f"    read from: {source} ({origin.confidence.value})"
    if choice is None or not choice.others:
        yield "    also there: nothing else was found"
    else:
        yield from (f"    also there: {place}: {_short(value)}" for place, value in choice.others)
    if choice is not None and choice.why:
        yield f"    because: {choice.why}"


def _short(value: str) -> str:
    return value if len(value) <= VALUE_LIMIT else f"{value[:VALUE_LIMIT]}..."
