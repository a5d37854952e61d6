"""spack's database: `<install tree>/.spack-db/index.json`, versions 5 to 8.

Source: spack's lib/spack/spack/database.py and its docs on the spec file format. What differs:

* version 5 writes a spec as `{name: {...}}`, later ones as `{"name": name, ...}`;
* up to version 7 a spec has its `compiler`; from version 8 on the compiler is a build dependency
  that provides `c`, `cxx` or `fortran`, or stands in `annotations` of a spec from before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Package

VERSIONS = ("5", "6", "7", "8")
_LANGUAGES = ("c", "cxx", "fortran")

Node = Mapping[str, Any]
"""A spec as JSON."""


@dataclass(frozen=True)
class Database:
    """What an install tree holds."""

    version: str
    packages: tuple[Package, ...]  # installed ones, by name, then version
    troubles: tuple[str, ...] = ()  # records that were left out, and why


def parse(text: str) -> Database:
    """Reads a database.

    Args:
        text: the content of index.json.

    Returns:
        The installed packages; a record that cannot be read costs only itself.

    Raises:
        CompspecError: the file is not a spack database; a truncated one too.
    """
    try:
        document = json.loads(text)
        database = document["database"]
        version, installs = str(database.get("version", "")), database["installs"]
        records = dict(installs.items())
    except ValueError as exc:
        raise CompspecError(
            f"not JSON, perhaps cut off: {exc}; `spack reindex` repairs it"
        ) from exc
    except (KeyError, TypeError, AttributeError) as exc:
        raise CompspecError("no spack database: it has no `database` with `installs`") from exc
    packages: list[Package] = []
    troubles: list[str] = []
    if version not in VERSIONS:
        troubles.append(f"database version {version!r} is not one we know; read as {VERSIONS[-1]}")
    for key, record in records.items():
        try:
            if record.get("installed"):
                packages.append(_package(key, record, records))
        except (KeyError, TypeError, AttributeError, StopIteration) as exc:
            troubles.append(f"record {key}: {type(exc).__name__} {exc}")
    packages.sort(key=lambda package: (package.name, package.version, package.hash))
    return Database(version, tuple(packages), tuple(troubles))


def _package(key: str, record: Mapping[str, Any], records: Mapping[str, Any]) -> Package:
    name, node = _node(record["spec"])
    return Package(
        name=name,
        version=_version(node),
        hash=key,
        compiler=_compiler(node, records),
        target=_target(node),
        explicit=bool(record.get("explicit")),
    )


def _node(spec: Node) -> tuple[str, Node]:
    """Returns name and fields of a spec in either form."""
    if isinstance(spec.get("name"), str):
        return spec["name"], spec
    name = next(iter(spec))
    return name, spec[name]


def _version(node: Node) -> str:
    if "version" in node:
        return str(node["version"])
    return ",".join(str(version) for version in node["versions"])


def _target(node: Node) -> str:
    """Returns the microarchitecture: an object since archspec, a word before and in version 8."""
    arch = node.get("arch") or {}
    if isinstance(arch, str):  # linux-ubuntu22.04-zen3
        return arch.rpartition("-")[2]
    target = arch.get("target") or ""
    return str(target["name"] if isinstance(target, Mapping) else target)


def _compiler(node: Node, records: Mapping[str, Any]) -> str:
    """Returns `gcc@12.3.0`, or nothing for a package that no compiler built."""
    compiler = node.get("compiler")
    if compiler:
        return f"{compiler['name']}@{compiler['version']}"
    written = (node.get("annotations") or {}).get("compiler")
    if written:
        return str(written).replace("@=", "@")
    providers = {
        language: edge
        for edge in node.get("dependencies") or ()
        if isinstance(edge, Mapping)
        for language in (edge.get("parameters") or {}).get("virtuals") or ()
    }
    for language in _LANGUAGES:
        edge = providers.get(language)
        if edge is not None:
            built_by = records.get(str(edge.get("hash")))
            version = f"@{_version(_node(built_by['spec'])[1])}" if built_by else ""
            return f"{edge['name']}{version}"
    return ""
