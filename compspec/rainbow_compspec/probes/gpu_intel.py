"""Intel GPUs: through the drm devices of the drivers i915 and xe.

Graphics that are part of the CPU share its memory and are no accelerator: they are told in a
warning, not counted. A GPU of its own has local memory, or says "display controller" on the PCI
bus (class 0x0380), as the data-center ones do.
"""

from __future__ import annotations

import posixpath
import re

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes.gpu_finding import Finding, numa_of
from rainbow_compspec.reading import Origin
from rainbow_compspec.text import integer

DRM = "/sys/class/drm"
VENDOR = 0x8086

_CLASS_DISPLAY = 0x0380
_MODELS = {
    0x0BD5: "Data Center GPU Max 1550",
    0x0BDA: "Data Center GPU Max 1100",
    0x56C0: "Data Center GPU Flex 170",
    0x56C1: "Data Center GPU Flex 140",
}
"""PCI device -> name (pci.ids); the driver itself names none."""


def find(host: Host) -> Finding:
    """Finds Intel's GPUs, in the order of their cards."""
    gpus: list[Gpu] = []
    warnings: list[str] = []
    for card in host.numbered(DRM, "card"):
        folder = f"{DRM}/card{card}"
        if integer(host.text(f"{folder}/device/vendor")) != VENDOR:
            continue
        memory = _memory(host, folder)
        kind = (integer(host.text(f"{folder}/device/class")) or 0) >> 8
        if memory is None and kind != _CLASS_DISPLAY:
            warnings.append(f"card{card}: Intel graphics of the CPU, not counted as a GPU")
            continue
        gpus.append(_gpu(host, folder, len(gpus), memory))
    return Finding("drm", tuple(gpus), Origin(DRM), tuple(warnings))


def _gpu(host: Host, folder: str, index: int, memory: int | None) -> Gpu:
    device = integer(host.text(f"{folder}/device/device")) or 0
    address = re.search(r"PCI_SLOT_NAME=(\S+)", host.text(f"{folder}/device/uevent") or "")
    return Gpu(
        index=index,
        vendor="intel",
        model=_MODELS.get(device, f"device {device:#06x}"),
        memory=memory,
        driver=posixpath.basename(host.link(f"{folder}/device/driver") or ""),
        numa=numa_of(host, f"{folder}/device"),
        pci=address[1] if address else "",
    )


def _memory(host: Host, folder: str) -> int | None:
    """Returns local memory in bytes: i915 writes it for the card, xe for each of its tiles."""
    found = host.number(f"{folder}/lmem_total_bytes")
    tiles = [
        host.number(f"{folder}/device/tile{tile}/physical_vram_size_bytes") or 0
        for tile in host.numbered(f"{folder}/device", "tile")
    ]
    return found or sum(tiles) or None
