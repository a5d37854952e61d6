"""The operator's word against the machine's: a value for any key of any probe (keys.py).

From the environment, `RAINBOW_COMPSPEC_SET_<probe>__<key>=value`: names there cannot hold a dot, so
a further `__` stands for one (`RAINBOW_COMPSPEC_SET_GPU__0__MODEL` is `0.model` of `gpu`), and case
does not count. From a YAML or JSON file: `{gpu: {count: 2, 0.model: H100}}`, nested or dotted. The
environment wins over the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from rainbow_compspec import keys
from rainbow_compspec.errors import CompspecError

PREFIX = "RAINBOW_COMPSPEC_SET_"

Overrides = Mapping[str, Mapping[str, str]]
"""probe -> key -> value."""


def from_environ(environ: Mapping[str, str]) -> Overrides:
    """Reads the overrides of an environment.

    Raises:
        CompspecError: a variable has the prefix but names no key.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        probe, mark, key = name.removeprefix(PREFIX).lower().partition("__")
        if not (probe and mark and key):
            raise CompspecError(
                f"{name}: names no value; write {PREFIX}<probe>__<key>, "
                f"for example {PREFIX}cpu__model"
            )
        found.setdefault(probe, {})[key.replace("__", ".")] = value
    return found


def from_file(path: Path) -> Overrides:
    """Reads the overrides of a file: JSON if its name ends so, otherwise YAML.

    Raises:
        CompspecError: it cannot be read, or is not probe -> key -> value.
    """
    document = _load(path)
    if not isinstance(document, dict):
        raise CompspecError(f"{path}: must map probes to their values, as in `cpu: {{model: X}}`")
    found: dict[str, dict[str, str]] = {}
    for probe, values in document.items():
        if not isinstance(values, dict):
            raise CompspecError(f"{path}: {probe}: must map keys to values")
        found[str(probe)] = dict(_flat(values, f"{path}: {probe}"))
    return found


def merged(*layers: Overrides) -> Overrides:
    """Joins overrides; a later layer wins, key by key."""
    found: dict[str, dict[str, str]] = {}
    for layer in layers:
        for probe, values in layer.items():
            found.setdefault(probe, {}).update(values)
    return found


def check(overrides: Overrides) -> None:
    """Refuses what cannot stand in node JSON: see `keys`.

    Raises:
        CompspecError: naming the probe, the key or the value, and what can be written.
    """
    for probe, values in overrides.items():
        if probe not in keys.KEYS:
            raise CompspecError(
                f"override for {probe!r}: no such probe; there are {', '.join(keys.KEYS)}"
            )
        for key, value in values.items():
            _check(probe, key, value)


def _check(probe: str, key: str, value: str) -> None:
    variable = f"{PREFIX}{probe}__{key.replace('.', '__')}".upper()
    place = f"override for {probe}.{key} ({variable}, or `{probe}: {{{key}: ...}}` in a file)"
    kind = keys.kind_of(probe, key)
    if kind is None:
        raise CompspecError(f"{place}: no such key; {keys.alike(probe, key)}")
    if not kind.fits(value):
        example = f", as in {kind.example}" if kind.example else ""
        raise CompspecError(f"{place}: write {kind.what}{example}; found {value!r}")


def _load(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else _yaml(path, text)
    except OSError as exc:
        raise CompspecError(f"{path}: cannot be read: {exc.strerror}") from exc
    except json.JSONDecodeError as exc:
        raise CompspecError(f"{path}: not JSON: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise CompspecError(f"{path}: not UTF-8 text: {exc}") from exc


def _yaml(path: Path, text: str) -> object:
    import yaml  # noqa: PLC0415 - slow, and only for those who have such a file

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as exc:
        raise CompspecError(f"{path}: not YAML: {exc}") from exc


def _flat(values: Mapping[object, object], place: str) -> Iterator[tuple[str, str]]:
    """Yields dotted key and value of a nested mapping."""
    for key, value in values.items():
        if isinstance(value, dict):
            for inner, text in _flat(value, f"{place}.{key}"):
                yield f"{key}.{inner}", text
        elif isinstance(value, bool):
            yield str(key), "yes" if value else "no"
        elif isinstance(value, (str, int, float)):
            yield str(key), str(value)
        else:
            raise CompspecError(f"{place}.{key}: must be one value, found {value!r}")
