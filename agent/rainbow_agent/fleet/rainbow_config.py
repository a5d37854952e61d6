"""Upstream's rainbow-config.yaml: read and written so that both sides can use one file.

Format: converged-computing/rainbow 075ee23, pkg/config/config.go and python/v1/rainbow/schema.py.
What this module does not know is kept as it stands.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from rainbow_agent.core.errors import UsageError

_Document = Mapping[str, Any]

#: Keys of the file, as paths.
_HOST: Final = ("graphdatabase", "options", "host")
_HOST_OLD: Final = ("graphdatabase", "host")  # where the Go client also looks


@dataclass(frozen=True)
class ClusterAccess:
    """A cluster that one may submit to."""

    name: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class RainbowConfig:
    """A rainbow-config.yaml. A text that the file does not have is ""."""

    host: str = ""  # of the scheduler, host:port
    scheduler_name: str = "rainbow"
    scheduler_secret: str = field(default="", repr=False)  # allows registration
    selection: str = "random"
    selection_options: Mapping[str, str] = field(default_factory=dict)
    matching: str = "match"
    cluster: str = ""  # our own
    cluster_secret: str = field(default="", repr=False)  # receives our own jobs
    clusters: tuple[ClusterAccess, ...] = ()
    document: _Document = field(default_factory=dict, repr=False)  # the file, as it was read

    def token_of(self, cluster: str) -> str:
        """The token to submit to a cluster; "" when the file has none."""
        return next((c.token for c in self.clusters if c.name == cluster), "")

    def secret_of(self, cluster: str) -> str:
        """The secret of our own cluster; "" when the file is another's, or has none."""
        return self.cluster_secret if cluster == self.cluster else ""


def load(path: Path) -> RainbowConfig | None:
    """The file's content; None when there is no file.

    Raises:
        UsageError: it cannot be read, is not YAML, or a key has the wrong shape.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(
            f"{path}: cannot read the rainbow configuration: {exc.strerror or exc}"
        ) from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path}: cannot read the rainbow configuration: {exc}") from exc
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        # Only the place: the message of the parser quotes the line, which may hold a secret.
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise UsageError(f"{path}: line {line}: not valid YAML ({exc.problem})") from None
    except (yaml.YAMLError, RecursionError) as exc:
        raise UsageError(f"{path}: not valid YAML ({type(exc).__name__})") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path}: expected a mapping with `scheduler`, `cluster`, ...")
    return _read(path, document)


def settings_in(path: Path) -> Mapping[str, str]:
    """What settings take out of the file, as settings.load wants it; nothing where it is not there.

    Raises:
        UsageError: it cannot be read, is not YAML, or a key has the wrong shape.
    """
    config = load(path)
    if config is None:
        return {}
    return {"host": config.host, "cluster": config.cluster, "secret": config.scheduler_secret}


def merge(
    config: RainbowConfig | None,
    *,
    host: str,
    cluster: str,
    secret: str,
    token: str,
    scheduler_secret: str = "",
) -> RainbowConfig:
    """A configuration with our own cluster (again) in it.

    Args:
        config: what is there; None for a new file.
        host: host:port of the scheduler.
        cluster: our own cluster's name.
        secret: its secret.
        token: its token; it replaces the one that the list had.
        scheduler_secret: the registration secret; "" keeps what is there.
    """
    base = config or RainbowConfig()
    others = tuple(c for c in base.clusters if c.name != cluster)
    return RainbowConfig(
        host=host,
        scheduler_name=base.scheduler_name,
        scheduler_secret=scheduler_secret or base.scheduler_secret,
        selection=base.selection,
        selection_options=base.selection_options,
        matching=base.matching,
        cluster=cluster,
        cluster_secret=secret,
        clusters=(*others, ClusterAccess(cluster, token)),
        document=base.document,
    )


def save(path: Path, config: RainbowConfig) -> None:
    """Replace the file: all of it or nothing, durable when this returns, for its owner only.

    The new file has mode 0600 before it has content. A `path` that is a symbolic link is replaced
    by the file, not followed.

    Raises:
        UsageError: the folder cannot be written.
    """
    text = yaml.safe_dump(_written(config), sort_keys=False, allow_unicode=True)
    try:
        _replace(path, text.encode())
    except OSError as exc:
        raise UsageError(
            f"{path}: cannot write the rainbow configuration: {exc.strerror or exc};"
            " point RAINBOW_CONFIG at a folder that this user may write"
        ) from exc


def _replace(path: Path, content: bytes) -> None:
    # mkstemp: a new file of mode 0600 under a name that no other process could have prepared.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:  # whatever it is, the secret must not stay in a stray file
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path, document: _Document) -> RainbowConfig:
    def text(*keys: str, default: str = "") -> str:
        return _text_at(path, document, keys, default)

    algorithms = ("scheduler", "algorithms")
    options = _mapping_at(path, document, (*algorithms, "selection", "options"))
    return RainbowConfig(
        host=text(*_HOST) or text(*_HOST_OLD),
        scheduler_name=text("scheduler", "name", default="rainbow"),
        scheduler_secret=text("scheduler", "secret"),
        selection=text(*algorithms, "selection", "name", default="random"),
        selection_options={str(key): str(value) for key, value in options.items()},
        matching=text(*algorithms, "match", "name", default="match"),
        cluster=text("cluster", "name"),
        cluster_secret=text("cluster", "secret"),
        clusters=tuple(_clusters(path, document)),
        document=document,
    )


def _clusters(path: Path, document: _Document) -> Iterable[ClusterAccess]:
    entries = document.get("clusters")
    if entries is None:
        return
    if not isinstance(entries, list):
        raise UsageError(f"{path}: `clusters` must be a list of {{name, token}}")
    for index, entry in enumerate(entries):
        where = f"clusters[{index}]"
        if not isinstance(entry, dict):
            raise UsageError(f"{path}: `{where}` must be a mapping with name and token")
        name = _text_at(path, entry, ("name",), "", prefix=f"{where}.")
        token = _text_at(path, entry, ("token",), "", prefix=f"{where}.")
        if not name:
            raise UsageError(f"{path}: `{where}.name` is missing")
        yield ClusterAccess(name, token)


def _mapping_at(
    path: Path, document: _Document, keys: tuple[str, ...], *, prefix: str = ""
) -> _Document:
    """The mapping at a path of keys; empty where it is absent."""
    here: _Document = document
    for depth, key in enumerate(keys):
        value = here.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise UsageError(f"{path}: `{prefix}{'.'.join(keys[: depth + 1])}` must be a mapping")
        here = value
    return here


def _text_at(
    path: Path, document: _Document, keys: tuple[str, ...], default: str, *, prefix: str = ""
) -> str:
    value = _mapping_at(path, document, keys[:-1], prefix=prefix).get(keys[-1])
    if value is None:
        return default
    if not isinstance(value, str):
        # The value is not shown: it may be a secret that somebody forgot to quote.
        raise UsageError(
            f"{path}: `{prefix}{'.'.join(keys)}` must be text, not {type(value).__name__}:"
            " put it between single quotes"
        )
    return value


def _written(config: RainbowConfig) -> dict[str, Any]:
    """The document to write: what was read, with our values in their places."""
    document: dict[str, Any] = copy.deepcopy(dict(config.document))
    _put(document, ("scheduler", "name"), config.scheduler_name)
    _put(document, ("scheduler", "secret"), config.scheduler_secret)
    _put(document, ("scheduler", "algorithms", "selection", "name"), config.selection)
    if config.selection_options:
        options = dict(config.selection_options)
        _put(document, ("scheduler", "algorithms", "selection", "options"), options)
    _put(document, ("scheduler", "algorithms", "match", "name"), config.matching)
    _put(document, ("cluster", "name"), config.cluster)
    _put(document, ("cluster", "secret"), config.cluster_secret)
    if not document.get("graphdatabase"):
        _put(document, ("graphdatabase", "name"), "memory")
    _put(document, _HOST, config.host)
    if "host" in document["graphdatabase"]:
        _put(document, _HOST_OLD, config.host)
    kept = {c.get("name"): c for c in document.get("clusters") or []}
    document["clusters"] = [
        {**kept.get(c.name, {}), "name": c.name, "token": c.token} for c in config.clusters
    ]
    return document


def _put(document: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    """Set the value at a path of keys; an empty text is not written where there is none."""
    here = document
    for key in keys[:-1]:
        if not here.get(key):
            here[key] = {}
        here = here[key]
    if value or keys[-1] in here:
        here[keys[-1]] = value
