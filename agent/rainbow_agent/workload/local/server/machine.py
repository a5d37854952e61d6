"""The one node that the local workload manager schedules."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Machine:
    """This machine as Flux would see it: one node, rank 0."""

    host: str
    cores: int


def this_machine(cores: int | None = None) -> Machine:
    """The machine this process runs on.

    Args:
        cores: how many cores to schedule; None takes those this process may run on.
    """
    return Machine(socket.gethostname(), cores or physical_cores(os.sched_getaffinity(0)))


def physical_cores(cpus: Collection[int], topology: Path = _TOPOLOGY) -> int:
    """How many cores the logical CPUs belong to.

    Flux's R counts cores and not hardware threads (hwloc, RFC 20), so two threads of a core count
    once. A CPU whose topology the kernel does not show counts as a core of its own.

    Args:
        cpus: logical CPU numbers, as of sched_getaffinity(2).
        topology: where Linux shows the topology (Documentation/admin-guide/cputopology.rst).
    """
    return len({_core_of(cpu, topology) for cpu in cpus})


def _core_of(cpu: int, topology: Path) -> tuple[str, str]:
    folder = topology / f"cpu{cpu}" / "topology"
    try:
        package = (folder / "physical_package_id").read_text().strip()
        return package, (folder / "core_id").read_text().strip()
    except OSError:
        return "", f"cpu{cpu}"
