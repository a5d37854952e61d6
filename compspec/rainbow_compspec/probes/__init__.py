"""Probes: one topic a module, each `probe(host) -> Reading`, and the runner that asks them all.

A probe reads nothing but through its host. It answers "there is none" with an absent reading, and
raises CompspecError when the machine cannot be read; the runner turns that into a failed reading,
so one probe never costs another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from time import monotonic
from typing import cast

from rainbow_compspec import overrides as overriding
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.host import Host
from rainbow_compspec.overrides import Overrides
from rainbow_compspec.reading import Reading

PROBES: Mapping[str, str] = {
    name: f"{__name__}.{module}"
    for name, module in {
        # the slow ones first: those that run a program or wait for a driver
        "mpi": "mpi",
        "gpu": "gpu",
        "spack": "spack",
        "cpu": "cpu",
        "memory": "memory",
        "os": "system",
        "network": "network",
        "storage": "storage",
        "modules": "modules",
        "cgroup": "cgroup",
    }.items()
}
"""Name -> module, in the order in which they start."""

PROBE_TIMEOUT_S = 5.0
"""Seconds after which a probe that hangs (a dead file server, a lost GPU) is left behind."""


def run(
    host: Host,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    overrides: Overrides | None = None,
    *,
    limit: float = PROBE_TIMEOUT_S,
) -> dict[str, Reading]:
    """Asks every probe, side by side.

    Args:
        host: the machine.
        only: the probes to ask; empty for all.
        skip: the probes not to ask.
        overrides: probe -> key -> value, in place of what is found.
        limit: seconds that the probes may take together.

    Returns:
        Probe name -> reading, one for each that was asked, in the order of PROBES.

    Raises:
        CompspecError: `only`, `skip` or `overrides` name a probe or a key that there is not, or a
            value does not fit its key.
    """
    given = overrides or {}
    _check_names({*only, *skip})
    overriding.check(given)
    chosen = [name for name in PROBES if (not only or name in only) and name not in skip]
    readings = _ask(host, chosen, limit)
    return {name: readings[name].overridden(given.get(name, {})) for name in chosen}


def ask(host: Host, name: str) -> Reading:
    """Asks one probe; whatever goes wrong is in its reading."""
    try:
        probe = cast("Callable[[Host], Reading]", import_module(PROBES[name]).probe)
        return probe(host)
    except CompspecError as exc:
        return Reading.failed(name, str(exc))
    except Exception as exc:  # noqa: BLE001 - any error, so that the other probes still run
        return Reading.failed(name, f"unexpected {type(exc).__name__}: {exc}; please report this")


def _ask(host: Host, names: Collection[str], limit: float) -> dict[str, Reading]:
    late = f"no answer in {limit:g} s; a file server or a driver may hang"
    readings = {name: Reading.failed(name, late) for name in names}
    waiting = threading.Semaphore(0)
    done: dict[str, Reading] = {}

    def answer(name: str) -> None:
        done[name] = ask(host, name)
        waiting.release()

    for name in names:
        # daemon: a thread that hangs in a system call must not keep the process alive
        threading.Thread(target=answer, args=(name,), name=f"probe-{name}", daemon=True).start()
    _wait(waiting, len(names), limit)
    return readings | {name: done[name] for name in names if name in done}


def _wait(waiting: threading.Semaphore, count: int, limit: float) -> None:
    """Waits for `count` answers, `limit` seconds in all."""
    end = monotonic() + limit
    for _ in range(count):
        if not waiting.acquire(timeout=max(0.0, end - monotonic())):
            return


def _check_names(names: Collection[str]) -> None:
    for name in names:
        if name not in PROBES:
            raise CompspecError(f"no probe {name!r}; there are {', '.join(sorted(PROBES))}")
