"""Which workload manager: Flux where there is one, the local one where that is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.ports import Records, Workload
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop

#: Where a Flux instance listens by default: a system instance, a MiniCluster's broker.
_USUAL_SOCKETS = (Path("/run/flux/local"), Path("/mnt/flux/config/run/flux/local"))


@dataclass(frozen=True)
class Choice:
    """The workload manager to use."""

    kind: str  # flux or local
    uri: str  # Flux: its URI, "" for Flux's own default; local: its folder
    why: str


def choose(settings: Settings, *, find: Callable[[str], str | None] = shutil.which) -> Choice:
    """The workload manager that the settings mean.

    Raises:
        UsageError: `auto`, and Flux is installed but no instance is in sight. Running jobs as
            plain processes of this machine then would hide that.
    """
    local = Choice("local", str(settings.state_dir / "workload"), "RAINBOW_WORKLOAD=local")
    if settings.workload == "local":
        return local
    if settings.flux_uri:
        return Choice("flux", settings.flux_uri, "FLUX_URI is set")
    for socket in _USUAL_SOCKETS:
        if socket.exists():
            return Choice("flux", f"local://{socket}", f"{socket} exists")
    if settings.workload == "flux":
        return Choice("flux", "", "RAINBOW_WORKLOAD=flux")
    if find("flux") is not None:
        raise UsageError(
            "flux is installed, but no instance is in sight (FLUX_URI is not set): start the"
            " agent inside one, `flux start rainbow-agent start`, or say RAINBOW_WORKLOAD=local"
        )
    return Choice("local", local.uri, "no flux on PATH")


def opener(choice: Choice, settings: Settings, stop: Stop | None = None) -> Callable[[], Workload]:
    """A function that opens one connection; each thread opens its own. A stop shortens waits."""
    if choice.kind == "flux":
        from rainbow_agent.workload.flux.workload import FluxWorkload  # noqa: PLC0415 - heavy

        return lambda: FluxWorkload(choice.uri or None, stop, settings.queue)
    from rainbow_agent.workload.local.workload import LocalWorkload  # noqa: PLC0415 - heavy

    cores = settings.local_cores or None
    return lambda: LocalWorkload(Path(choice.uri), cores=cores, stop=stop)


def open_running(choice: Choice, settings: Settings, stop: Stop | None = None) -> Workload:
    """A connection to a workload manager that runs; the local one is not started for it."""
    if choice.kind == "flux":
        return opener(choice, settings, stop)()
    from rainbow_agent.workload.local.workload import LocalWorkload  # noqa: PLC0415 - heavy

    return LocalWorkload(Path(choice.uri), launch=False, stop=stop)


def choose_as_daemon(settings: Settings, runtime: Mapping[str, Any]) -> Choice:
    """The workload manager that the daemon uses, for a shell that cannot see it by itself.

    Args:
        settings: an explicit setting comes first.
        runtime: what the daemon last said of itself.

    Raises:
        UsageError: none was chosen, and none was found.
    """
    said = runtime.get("workload")
    if isinstance(said, Mapping) and settings.workload == "auto" and not settings.flux_uri:
        kind, uri = said.get("kind"), said.get("uri")
        if kind in ("flux", "local") and isinstance(uri, str):
            return Choice(kind, uri, "the daemon uses it")
    return choose(settings)


def open_records(choice: Choice, stop: Stop | None = None) -> Records:
    """What the workload manager keeps of its jobs. A stop shortens waits, and ends a follow.

    Raises:
        WorkloadUnavailable: it cannot be reached.
        Fatal: it is somebody else's, or there are no bindings.
    """
    if choice.kind == "flux":
        from rainbow_agent.workload.flux.records import FluxRecords  # noqa: PLC0415 - heavy

        return FluxRecords(choice.uri or None, stop)
    from rainbow_agent.workload.local.records import LocalRecords  # noqa: PLC0415

    return LocalRecords(Path(choice.uri), stop)
