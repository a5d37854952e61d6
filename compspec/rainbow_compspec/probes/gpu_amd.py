"""AMD GPUs: through KFD's topology, which ROCm itself reads, and the drm device beside it.

Source: Linux's drivers/gpu/drm/amd/amdkfd/kfd_topology.c. Nodes without compute units are CPUs. A
container may see every node's folder, but the kernel lets it read only those of its own GPUs.
"""

from __future__ import annotations

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes.gpu_finding import Finding, numa_of
from rainbow_compspec.reading import Origin
from rainbow_compspec.text import integer

KFD = "/sys/class/kfd/kfd/topology/nodes"
DRM = "/sys/class/drm"
DRIVER = "/sys/module/amdgpu/version"

_FRAME_BUFFER = {1, 2}
"""HSA_MEM_HEAP_TYPE_FB_PUBLIC and _FB_PRIVATE: the heaps that are the GPU's own memory."""


def find(host: Host) -> Finding:
    """Finds AMD's GPUs, in KFD's order, which is ROCm's."""
    driver = host.text(DRIVER) or "amdgpu"
    gpus: list[Gpu] = []
    for node in host.numbered(KFD, ""):
        fields = _properties(host, f"{KFD}/{node}/properties")
        if fields.get("simd_count"):
            gpus.append(_gpu(host, node, fields, len(gpus), driver))
    return Finding("KFD", tuple(gpus), Origin(KFD))


def _gpu(host: Host, node: int, fields: dict[str, int], index: int, driver: str) -> Gpu:
    device = f"{DRM}/renderD{fields.get('drm_render_minor', 0)}/device"
    unique = fields.get("unique_id", 0)
    return Gpu(
        index=index,
        vendor="amd",
        model=host.text(f"{device}/product_name") or architecture(fields),
        memory=host.number(f"{device}/mem_info_vram_total") or _heaps(host, node),
        uuid=f"GPU-{unique:016x}" if unique else "",  # as rocminfo writes it
        driver=driver,
        numa=numa_of(host, device),
        pci=_pci(fields),
    )


def architecture(fields: dict[str, int]) -> str:
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


def _pci(fields: dict[str, int]) -> str:
    """Decodes location_id: bus in the high byte, then five bits device, three bits function."""
    place = fields.get("location_id")
    if place is None:
        return ""
    return (
        f"{fields.get('domain', 0):04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 31:02x}.{place & 7}"
    )
