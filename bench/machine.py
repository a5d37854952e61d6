"""The machine that a figure is of, and how busy others keep it meanwhile."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from importlib import metadata
from typing import Any

import psutil

from support.flux import flux_command
from support.servers import REAL_PROGRAM

#: Distributions whose versions matter to the figures.
_OURS = ("rainbow-agent", "grpcio", "protobuf", "PyYAML", "click")


def facts() -> dict[str, Any]:
    """Cores, memory, Python, versions, and which parts are real."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _OURS},
        "rainbow": "real" if shutil.which(REAL_PROGRAM) else "embedded",
        "workload": f"Flux {_flux_version()}" if flux_command() else "local",
    }


def load() -> float:
    """The load average over a minute."""
    return os.getloadavg()[0]


class Others:
    """What processes that are not this one's descendants use of the machine, from now on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def share(self) -> float:
        """Of all cores, 0 to 1. A process that leaves without its parent's wait counts as other."""
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return min(1.0, max(0.0, others / seconds))


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _own_seconds() -> float:
    """Processor time of this process, its descendants, and those of them that have ended."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _flux_version() -> str:
    done = subprocess.run(["flux", "version"], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if line.startswith("libflux-core"):
            return line.partition(":")[2].strip()
    return "of unknown version"
