"""The links on this machine: settings, secrets, name, folder, ledger, disk, spack, clock."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from rainbow_agent.cli.doctor.faults import Finding, found, well
from rainbow_agent.cli.owners import belongs_to
from rainbow_agent.core.errors import Fatal, LedgerError, RainbowAgentError, UsageError
from rainbow_agent.fleet.secret_copy import missing_config
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.service import load_beside
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import disk, runtime_file
from rainbow_agent.storage.ledger import SqliteLedger

#: Seconds by which clocks may differ without a word.
MAX_CLOCK_SKEW_S = 5.0
#: Bytes without which not even a transaction fits.
MIN_TRANSACTION_BYTES = 4 * 2**20

ReadConfig = Callable[[Path], Mapping[str, str]]


#: Ledgers up to this size are read page by page; larger ones would take seconds.
MAX_READ_BYTES: Final = 16 * 2**20
_NOT_READ: Final = "{} MiB, not read through (`sqlite3 FILE 'PRAGMA quick_check'` does that)"


def read_settings(
    environ: Mapping[str, str], flags: Mapping[str, str | None], from_config: ReadConfig
) -> tuple[Settings | None, list[Finding]]:
    """The settings, with what is wrong left out, and each thing that is.

    What cannot be used is dropped and reading begins again, so that one bad value hides neither
    another nor the rest of the chain.
    """
    findings: list[Finding] = []
    environ, flags = dict(environ), dict(flags)
    for _ in range(20):
        try:
            settings = load_beside(environ, flags, from_config=from_config)
        except UsageError as exc:
            findings.append(_sorted(str(exc)))
            if not _drop(str(exc), environ, flags):
                from_config = _no_config
            continue
        findings += [found("setting-unknown", text) for text in settings.warnings]
        return settings, findings
    return None, findings


def _no_config(_: Path) -> Mapping[str, str]:
    return {}


def _sorted(text: str) -> Finding:
    """Which fault a message of settings.load is."""
    if "cannot read the secret" in text or "the file is empty" in text:
        return found("secret-unreadable", text)
    if re.match(r"RAINBOW_CLUSTER|CLUSTER_NAME", text):
        return found("name-unusable", text)
    if "TLS" in text:
        return found("tls-file", text)
    if text.startswith("RAINBOW_"):
        return found("setting-unusable", text)
    return found("config-other-user" if " belongs to " in text else "config-broken", text)


def _drop(text: str, environ: dict[str, str], flags: dict[str, str | None]) -> bool:
    """Take out what a message names; whether there was something."""
    names = set(re.findall(r"RAINBOW_[A-Z_]+|CLUSTER_NAME", text))
    dropped = [environ.pop(name, None) for name in names]
    given = [name for name in flags if f"--{name.replace('_', '-')}" in text and flags[name]]
    for name in given:
        flags[name] = None
    if "hostname" in text and not any(dropped):
        environ["RAINBOW_CLUSTER"] = "unnamed"
        return True
    return any(value is not None for value in dropped) or bool(given)


def settings_lines(findings: list[Finding], settings: Settings) -> Iterator[Finding]:
    """What was found wrong in the settings, or how many there are."""
    mine = [each for each in findings if each.check == "settings"]
    own = sum(source != "default" for source in settings.sources.values())
    yield from mine or [well("settings", f"{own} set, the others at their defaults")]


def name(findings: list[Finding], settings: Settings) -> Iterator[Finding]:
    """The cluster's name is one that rainbow takes."""
    names = [each for each in findings if each.check == "name"]
    yield from names or [well("name", f"{settings.cluster}, from {settings.sources['cluster']}")]


def secrets(findings: list[Finding], settings: Settings, *, registered: bool) -> Iterator[Finding]:
    """Secrets are there, and only this user can read them."""
    mine = [each for each in findings if each.check == "secrets"]
    if problem := missing_config(settings):
        mine.append(found("config-missing", problem))
    if not mine and not registered and not settings.secret:
        mine = [found("secret-missing", "there is none, and the cluster is not registered")]
    files = {settings.config}
    for source in settings.sources.values():
        if match := re.match(r"file (.*) \(RAINBOW_\w+_FILE\)", source):
            files.add(Path(match[1]))
    for path in sorted(files):
        if others := _others(path):
            mine.append(found("secret-exposed", f"{path} has mode {others}"))
    text = f"registration secret from {settings.sources['secret']}" if settings.secret else "none"
    yield from mine or [well("secrets", text + (", cluster secret stored" if registered else ""))]


def _others(path: Path) -> str:
    """The mode of a file that others can read; "" for one that they cannot."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    # Kubernetes mounts secrets 0644 in a folder of the pod's own: there are no others.
    shared = mode & (stat.S_IRGRP | stat.S_IROTH) and path.parent.stat().st_mode & stat.S_IXOTH
    in_pod = str(path).startswith(("/var/run/secrets/", "/run/secrets/"))
    return f"{stat.S_IMODE(mode):04o}" if shared and not in_pod else ""


def state(settings: Settings) -> Iterator[Finding]:
    """The folder is there, ours and private; one that is not there can be made."""
    folder = settings.state_dir
    near = folder
    while not near.exists() and near != near.parent:
        near = near.parent
    if not near.is_dir():
        yield found("state-unusable", f"{near} is not a folder")
    elif near == folder and (
        not os.access(near, os.R_OK | os.W_OK | os.X_OK)
        or folder.stat().st_uid not in (os.geteuid(), 0)
    ):
        yield found("state-other-user", belongs_to(f"state folder {folder}", folder, folder))
    elif not os.access(near, os.W_OK | os.X_OK):
        yield found("state-unusable", f"{near} is not writable by user {os.getuid()}")
    elif near == folder and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(folder.stat().st_mode)
        yield found("state-open", f"{folder} has mode {mode:04o}")
    else:
        yield well("state", str(folder) + ("" if near == folder else " (not there yet)"))


def ledger(settings: Settings) -> Iterator[Finding]:
    """The ledger can be read, and every page of it is whole."""
    path = settings.ledger_path
    if not path.exists():
        yield well("ledger", "none yet")
        return
    try:
        with closing(SqliteLedger.open_readonly(path)) as opened:
            size = path.stat().st_size
            problem = opened.damage() if size <= MAX_READ_BYTES else ""
            jobs = sum(opened.counts().values())
    except LedgerError as exc:
        yield found("ledger-damaged", str(exc))
    except Fatal as exc:
        yield found("ledger-other-version", str(exc))
    except RainbowAgentError as exc:
        yield found("ledger-damaged", str(exc))
    else:
        if problem:
            yield found("ledger-damaged", f"{path}: {problem}")
        else:
            read = "whole" if size <= MAX_READ_BYTES else _NOT_READ.format(size // 2**20)
            yield well("ledger", f"{path}, {counted(jobs, 'job')}, {read}")


def free_space(settings: Settings) -> Iterator[Finding]:
    """The file system of the state folder has free space."""
    near = settings.state_dir
    while not near.exists() and near != near.parent:
        near = near.parent
    try:
        space = disk.space(near)
    except OSError as exc:
        yield found("disk-full", f"{near} cannot be looked at: {exc.strerror}")
        return
    text = f"{space.free // 2**20} of {space.total // 2**20} MiB are free at {near}"
    if space.free < MIN_TRANSACTION_BYTES:
        yield found("disk-full", text)
    elif space.nearly_full:
        yield found("disk-nearly-full", text)
    else:
        yield well("disk", text)


def spack(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What is installed can be read."""
    from rainbow_compspec.host import Host  # noqa: PLC0415 - archspec: heavy
    from rainbow_compspec.probes import spack as probe  # noqa: PLC0415 - likewise
    from rainbow_compspec.reading import Status  # noqa: PLC0415 - likewise

    reading = probe.probe(Host(environ=dict(environ)))
    if reading.status is Status.FAILED:
        yield found("spack-unreadable", reading.reason)
    elif reading.values.get("tree"):
        count = reading.values.get("count", "0")
        yield well("spack", f"{counted(int(count), 'package')} in {reading.values['tree']}")
    else:
        yield well("spack", "not installed here; nothing is reported of it")


def clock(settings: Settings, now: float) -> Iterator[Finding]:
    """Nothing that was written lies in the future."""
    last = 0.0
    heartbeat = runtime_file.read_runtime(settings.state_dir).get("heartbeat")
    if isinstance(heartbeat, (int, float)):
        last = float(heartbeat)
    try:
        with closing(SqliteLedger.open_readonly(settings.ledger_path)) as opened:
            last = max([last, *(job.received for job in opened.jobs(limit=1, newest_first=True))])
    except RainbowAgentError:
        pass  # `ledger` says what is wrong with it
    if last - now > MAX_CLOCK_SKEW_S:
        yield found("clock-back", f"{last - now:.0f} s behind what is written")
    else:
        yield well("clock", "not behind anything that is written")
