"""Intel GPUs: through the drm devices of the drivers i915 and xe.

Graphics that are part of the CPU share its memory and are no accelerator: they are named in a
warning, not counted. They are device 2 on the first bus, whatever class they say ("display
controller" where another card is the VGA one); a GPU of its own sits behind a bridge, on another
bus, or has local memory. In a virtual machine a GPU that was passed through can be on the first
bus: then its class, or its model if we know it, decides.
"""

from __future__ import annotations

import posixpath
import re

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes.gpu_finding import DRM, FoundGpus, numa_of
from rainbow_compspec.reading import Choice, Origin
from rainbow_compspec.text import integer

VENDOR = 0x8086

_OF_THE_CPU = re.compile(r"0000:00:02\.\d")
_FIRST_BUS = "0000:00:"
_CLASS_DISPLAY = 0x0380
_MODELS = {
    0x0BD4: "Data Center GPU Max 1550VG",
    0x0BD5: "Data Center GPU Max 1550",
    0x0BD6: "Data Center GPU Max 1550VG",
    0x0BD9: "Data Center GPU Max 1100",
    0x0BDA: "Data Center GPU Max 1100",
    0x0BDB: "Data Center GPU Max 1100",
    0x5690: "Arc A770M",
    0x5691: "Arc A730M",
    0x56A0: "Arc A770",
    0x56A1: "Arc A750",
    0x56A2: "Arc A580",
    0x56A5: "Arc A380",
    0x56A6: "Arc A310",
    0x56B1: "Arc Pro A40/A50",
    0x56B3: "Arc Pro A60",
    0x56C0: "Data Center GPU Flex 170",
    0x56C1: "Data Center GPU Flex 140",
    0xE20B: "Arc B580",
    0xE20C: "Arc B570",
    0xE211: "Arc Pro B60",
    0xE212: "Arc Pro B50",
}
"""PCI device of a GPU of its own -> name (pci.ids); the driver itself names none."""


def find(host: Host) -> FoundGpus:
    """Finds Intel's GPUs, in the order of their cards."""
    gpus: list[Gpu] = []
    warnings: list[str] = []
    for card in host.numbered(DRM, "card"):
        folder = f"{DRM}/card{card}"
        if integer(host.text(f"{folder}/device/vendor")) != VENDOR:
            continue
        memory = _memory(host, folder)
        address = _address(host, folder)
        if not _is_its_own(host, folder, address, memory):
            warnings.append(
                f"card{card}{f' ({address})' if address else ''}: Intel graphics of the CPU, "
                "not counted as a GPU"
            )
            continue
        gpus.append(_gpu(host, folder, len(gpus), memory, address))
    why = "cards with memory of their own, or behind a bridge; graphics of the CPU do not count"
    return FoundGpus("drm", tuple(gpus), Origin(DRM), tuple(warnings), Choice(why))


def _is_its_own(host: Host, folder: str, address: str, memory: int | None) -> bool:
    """Tells whether a device is a GPU of its own, not the graphics of the CPU."""
    if memory is not None or _device(host, folder) in _MODELS:
        return True
    if address and not address.startswith(_FIRST_BUS):
        return True
    kind = (integer(host.text(f"{folder}/device/class")) or 0) >> 8
    return kind == _CLASS_DISPLAY and not _OF_THE_CPU.fullmatch(address)


def _gpu(host: Host, folder: str, index: int, memory: int | None, address: str) -> Gpu:
    device = _device(host, folder)
    return Gpu(
        index=index,
        vendor="intel",
        model=_MODELS.get(device, f"device {device:#06x}"),
        memory=memory,
        driver=posixpath.basename(host.link(f"{folder}/device/driver") or ""),
        numa=numa_of(host, f"{folder}/device"),
        pci=address,
    )


def _device(host: Host, folder: str) -> int:
    return integer(host.text(f"{folder}/device/device")) or 0


def _address(host: Host, folder: str) -> str:
    """Returns the PCI address: the driver's word, else the device's folder."""
    found = re.search(r"PCI_SLOT_NAME=(\S+)", host.text(f"{folder}/device/uevent") or "")
    if found:
        return found[1]
    name = posixpath.basename(host.link(f"{folder}/device") or "")
    return name if re.fullmatch(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.\d", name) else ""


def _memory(host: Host, folder: str) -> int | None:
    """Returns local memory in bytes: i915 writes it for the card, xe for each of its tiles."""
    found = host.number(f"{folder}/lmem_total_bytes")
    tiles = [
        host.number(f"{folder}/device/tile{tile}/physical_vram_size_bytes") or 0
        for tile in host.numbered(f"{folder}/device", "tile")
    ]
    return found or sum(tiles) or None
