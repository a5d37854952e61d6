"""spack: what is installed, read from its database. spack itself is never started (a second)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from rainbow_compspec.errors import CompspecError, HostError
from rainbow_compspec.facts import Package
from rainbow_compspec.host import Host
from rainbow_compspec.probes import spack_config, spack_database
from rainbow_compspec.probes.spack_config import InstallTree
from rainbow_compspec.reading import Origin, Reading, Status, known
from rainbow_compspec.text import tokens


def probe(host: Host) -> Reading:
    """Reads the installed packages of spack's install trees, and the active environment.

    A database that cannot be read, and a path that is not understood, make a failed reading where
    nothing else is found, and a warning where there is; the environment is reported all the same.
    """
    found = spack_config.locate(host)
    environment, environment_warnings = _environment(host)
    if not found.trees and not found.problems and not environment:
        return Reading.absent(
            "spack",
            "no $SPACK_ROOT, no spack on PATH, no install tree in "
            + ", ".join(spack_config.USUAL_TREES),
        )
    packages: dict[str, Package] = {}
    versions: list[str] = []
    troubles = list(found.problems)
    for tree in found.trees:
        more, version, trouble = _packages(host, tree)
        packages = {package.hash: package for package in more} | packages
        versions += [version] if version else []
        troubles += [trouble] if trouble else []
    failed = bool(troubles) and not packages
    missing = [
        f"{tree.origin.source}: there is no such folder, so nothing is installed there yet"
        for tree in found.trees
        if tree.configured and not host.exists(tree.path)
    ]
    own = found.trees[0] if found.trees else None
    values = known(
        root=found.spack,
        tree=own.path if own else None,
        database=own.index if own else None,
        database_version=versions[0] if versions else None,
        upstreams=" ".join(tree.path for tree in found.trees[1:]),
        count=len(packages),
        explicit=sum(package.explicit for package in packages.values()),
    )
    return Reading(
        "spack",
        values | _environment_values(host, environment, packages),
        own.origin if own else Origin("$SPACK_ENV/spack.lock"),
        status=Status.FAILED if failed else Status.OK,
        reason="; ".join(troubles) if failed else "",
        tables={"package": _table(packages.values(), environment)},
        warnings=(*(() if failed else troubles), *missing, *environment_warnings),
    )


def _packages(host: Host, tree: InstallTree) -> tuple[tuple[Package, ...], str | None, str]:
    """Returns the installed packages, the database's version, and what was wrong with it."""
    try:
        text = host.need(tree.index)
    except HostError as exc:
        return (), None, _why_unread(host, tree, exc)
    try:
        database = spack_database.parse(text)
    except CompspecError as exc:
        return (), None, f"{tree.index}: {exc}"
    trouble = f"{tree.index}: {'; '.join(database.troubles)}" if database.troubles else ""
    return database.packages, database.version, trouble


def _why_unread(host: Host, tree: InstallTree, error: HostError) -> str:
    """Returns why there is no database to read; nothing for a spack that installed nothing yet."""
    if not isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
        return str(error)
    if tree.spack and not host.exists(tree.spack):
        return f"{tree.spack} is not there: correct $SPACK_ROOT"
    return ""


def _table(packages: Iterable[Package], environment: Mapping[str, str]) -> dict[str, str]:
    """Writes one entry a package, by its hash."""
    return {
        package.hash: tokens(
            {
                "name": package.name,
                "version": package.version,
                "compiler": package.compiler,
                "target": package.target,
                "explicit": package.explicit,
                "environment": environment.get(package.hash),
            }
        )
        for package in packages
    }


def _environment(host: Host) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the active environment's hashes -> `root` or `dependency`, and warnings."""
    folder = host.env("SPACK_ENV")
    if not folder:
        return {}, ()
    path = f"{folder.rstrip('/')}/spack.lock"
    try:
        lock = json.loads(host.need(path))
        roots = {root["hash"] for root in lock["roots"]}
        members = dict.fromkeys(lock["concrete_specs"], "dependency")
    except CompspecError as exc:
        return {}, (f"active environment: {exc}",)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        return {}, (f"{path}: not a spack lock file: {type(exc).__name__} {exc}",)
    return members | dict.fromkeys(roots & members.keys(), "root"), ()


def _environment_values(
    host: Host, environment: Mapping[str, str], packages: Mapping[str, Package]
) -> dict[str, str]:
    installed = packages.keys()
    return known(
        environment=host.env("SPACK_ENV"),
        environment_count=len(environment.keys() & installed) if environment else None,
        environment_missing=len(environment.keys() - installed) if environment else None,
    )
