"""AMD GPUs: through KFD's topology, which ROCm itself reads, and the drm device beside it.

Source: Linux's drivers/gpu/drm/amd/amdkfd/kfd_topology.c. Nodes without compute units are CPUs. A
container may see every node's folder, but the kernel lets it read only those of its own GPUs.

A card in several partitions (compute modes DPX, QPX, CPX) is one node a partition. Its memory
banks are the partition's, but the drm device of the first is the whole card's, and the others have
none. The number of the partition stands in the function bits of the PCI address (location_id).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes.gpu_finding import DRM, PCI, FoundGpus, numa_of
from rainbow_compspec.reading import Choice, Confidence, Origin
from rainbow_compspec.text import integer

KFD = "/sys/class/kfd/kfd/topology/nodes"
DRIVER = "/sys/module/amdgpu/version"

_FRAME_BUFFER = {1, 2}
"""HSA_MEM_HEAP_TYPE_FB_PUBLIC and _FB_PRIVATE: the heaps that are the GPU's own memory."""

_WHOLE = {"", "spx"}
"""Compute modes in which a card is one device."""


@dataclass(frozen=True)
class _Node:
    """One node of KFD's topology that is a GPU, or a partition of one."""

    number: int
    fields: Mapping[str, int]
    pci: str  # of the card
    partition: int  # from 0

    @property
    def device(self) -> str:
        """The drm device's folder."""
        return f"{DRM}/renderD{self.fields.get('drm_render_minor', 0)}/device"

    @property
    def card(self) -> tuple[str, int]:
        """What partitions of one card have in common."""
        return self.pci, self.fields.get("unique_id", 0)


def find(host: Host) -> FoundGpus:
    """Finds AMD's GPUs, in KFD's order, which is ROCm's."""
    nodes = [
        _node(host, number, fields)
        for number in host.numbered(KFD, "")
        if (fields := _properties(host, f"{KFD}/{number}/properties")).get("simd_count")
    ]
    gpus: list[Gpu] = []
    origins: dict[str, Origin] = {}
    choices: dict[str, Choice] = {}
    for place, node in enumerate(nodes):
        siblings = [other for other in nodes if other.card == node.card]
        memory, origins[f"{place}.memory"], choices[f"{place}.memory"] = _memory(
            host, node, siblings
        )
        model, origins[f"{place}.model"], choices[f"{place}.model"] = _model(host, node, siblings)
        origins[f"{place}.numa"] = Origin(f"{siblings[0].device}/numa_node")
        gpus.append(replace(_gpu(host, node, siblings), index=place, memory=memory, model=model))
    why = "KFD lists what ROCm uses, partitions one by one"
    return FoundGpus("KFD", tuple(gpus), Origin(KFD), (), Choice(why), origins, choices)


def _node(host: Host, number: int, fields: Mapping[str, int]) -> _Node:
    """Splits location_id: bus in the high byte, then five bits device, three bits function.

    There is no PCI function behind a function other than 0 unless the kernel knows one: it is the
    partition's number.
    """
    place = fields.get("location_id")
    if place is None:
        return _Node(number, fields, "", 0)
    slot = f"{fields.get('domain', 0):04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 31:02x}"
    function = place & 7
    if function and host.exists(f"{PCI}/{slot}.{function}"):
        return _Node(number, fields, f"{slot}.{function}", 0)
    return _Node(number, fields, f"{slot}.0", function)


def _gpu(host: Host, node: _Node, siblings: Sequence[_Node]) -> Gpu:
    """Describes a node, with what only another partition of its card says.

    Without its index, its model and its memory.
    """
    unique = node.fields.get("unique_id", 0)
    mode = next(filter(None, (_mode(host, each) for each in siblings)), "")
    divided = len(siblings) > 1 or node.partition > 0 or mode not in _WHOLE
    uuid = f"GPU-{unique:016x}" if unique else ""  # as rocminfo writes it
    numas = (numa_of(host, each.device) for each in siblings)
    return Gpu(
        index=0,
        vendor="amd",
        uuid=f"{uuid}-{node.partition}" if uuid and divided else uuid,
        driver=host.text(DRIVER) or "amdgpu",
        numa=next((numa for numa in numas if numa is not None), numa_of(host, f"{PCI}/{node.pci}")),
        pci=node.pci,
        partition=(mode or f"1/{max(len(siblings), 2)}") if divided else "",
        card=(uuid or node.pci) if divided else "",
    )


def _mode(host: Host, node: _Node) -> str:
    """Returns the compute mode of a card: spx, dpx, tpx, qpx, cpx; empty where there is none."""
    return (host.text(f"{node.device}/current_compute_partition") or "").lower()


def _memory(
    host: Host, node: _Node, siblings: Sequence[_Node]
) -> tuple[int | None, Origin, Choice]:
    """Returns a GPU's memory in bytes, from where, and why.

    KFD's banks are what ROCm gives: of a partition its own, of an APU all that it may take of the
    machine's memory, where the drm device has the BIOS's carve-out. Without them it is the drm
    device's figure, divided by the number of partitions.
    """
    files = (f"{each.device}/mem_info_vram_total" for each in siblings)
    path, drm = next(((path, found) for path in files if (found := host.number(path))), ("", None))
    others = ((path, str(drm)),) if drm else ()
    banks = _heaps(host, node.number)
    if banks:
        origin = Origin(f"{KFD}/{node.number}/mem_banks")
        return banks, origin, Choice("KFD's banks are what ROCm can allocate here", others)
    if drm and len(siblings) > 1:
        origin = Origin(f"{path}, divided by {len(siblings)} partitions", Confidence.DERIVED)
        return drm // len(siblings), origin, Choice("KFD lists no banks", others)
    return drm, Origin(path or KFD), Choice("KFD lists no banks")


def _model(host: Host, node: _Node, siblings: Sequence[_Node]) -> tuple[str, Origin, Choice]:
    """Returns a GPU's name, from where, and why.

    The product's name, which only the card's first partition has; else its architecture, its
    chip, or the number of the device.
    """
    files = (f"{each.device}/product_name" for each in siblings)
    path, product = next(((path, name) for path in files if (name := host.text(path))), ("", ""))
    chip = host.text(f"{KFD}/{node.number}/name") or ""
    device = node.fields.get("device_id", 0)
    unnamed = (
        architecture(node.fields)
        or ("" if chip == "ip discovery" else chip)
        or (f"device {device:#06x}" if device else "")
    )
    kfd = f"{KFD}/{node.number}"
    if product:
        return product, Origin(path), Choice("the product's name says most", ((kfd, unnamed),))
    return unnamed, Origin(kfd, Confidence.DERIVED), Choice("the driver does not name the product")


def architecture(fields: Mapping[str, int]) -> str:
    """Returns LLVM's name for the GPU: 90402 is gfx942, 90010 is gfx90a."""
    version = fields.get("gfx_target_version", 0)
    if not version:
        return ""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _properties(host: Host, path: str) -> dict[str, int]:
    lines = (line.split() for line in (host.text(path) or "").splitlines())
    pairs = ((line[0], integer(line[1])) for line in lines if len(line) == 2)
    return {key: value for key, value in pairs if value is not None}


def _heaps(host: Host, node: int) -> int | None:
    banks = (
        _properties(host, f"{KFD}/{node}/mem_banks/{bank}/properties")
        for bank in host.numbered(f"{KFD}/{node}/mem_banks", "")
    )
    return (
        sum(b.get("size_in_bytes", 0) for b in banks if b.get("heap_type") in _FRAME_BUFFER) or None
    )
