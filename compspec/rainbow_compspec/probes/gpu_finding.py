"""What the vendors' finders share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.reading import NOWHERE, UNOPPOSED, Choice, Origin

PCI = "/sys/bus/pci/devices"
DRM = "/sys/class/drm"


@dataclass(frozen=True)
class FoundGpus:
    """One vendor's GPUs on a machine."""

    looked: str  # where, in a word
    gpus: tuple[Gpu, ...] = ()
    origin: Origin = NOWHERE
    warnings: tuple[str, ...] = ()
    choice: Choice = UNOPPOSED  # why these are the GPUs, and what else lists some
    origins: Mapping[str, Origin] = field(default_factory=dict)  # `<place>.<key>`, where it differs
    choices: Mapping[str, Choice] = field(default_factory=dict)  # `<place>.<key>`, likewise


def numa_of(host: Host, folder: str) -> int | None:
    """Returns the NUMA domain of the device in a sysfs folder; None if it is near to none (-1)."""
    found = host.number(f"{folder}/numa_node")
    return found if found is not None and found >= 0 else None


def pci_address(text: str) -> str:
    """Writes `00000000:3B:00.0` as the kernel does, `0000:3b:00.0`."""
    domain, _, rest = text.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}" if rest else ""
