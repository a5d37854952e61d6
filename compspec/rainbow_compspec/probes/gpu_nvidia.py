"""NVIDIA GPUs: through NVML, else through /proc/driver/nvidia, which has all but the memory."""

from __future__ import annotations

import re

from rainbow_compspec.errors import HostError
from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes.gpu_finding import PCI, Finding, numa_of, pci_address
from rainbow_compspec.reading import Origin
from rainbow_compspec.text import pairs

PROC = "/proc/driver/nvidia"


def find(host: Host) -> Finding:
    """Finds NVIDIA's GPUs, in the order of NVML: by place on the PCI bus."""
    try:
        seen = host.nvml()
        warnings: tuple[str, ...] = ()
    except HostError as exc:
        seen, warnings = None, (str(exc),)
    if not seen:
        return _from_proc(host, warnings)
    gpus = tuple(
        Gpu(
            index=index,
            vendor="nvidia",
            model=gpu.model,
            memory=gpu.memory,
            uuid=gpu.uuid,
            driver=gpu.driver,
            pci=(pci := pci_address(gpu.pci)),
            numa=numa_of(host, f"{PCI}/{pci}"),
        )
        for index, gpu in enumerate(seen)
    )
    return Finding("NVML", gpus, Origin("NVML"))


def _from_proc(host: Host, warnings: tuple[str, ...]) -> Finding:
    """Reads `Model:` and `GPU UUID:` of /proc/driver/nvidia/gpus/0000:3b:00.0/information."""
    driver = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", host.text(f"{PROC}/version") or "")
    gpus = []
    for index, pci in enumerate(sorted(host.names(f"{PROC}/gpus"))):
        fields = pairs(host.text(f"{PROC}/gpus/{pci}/information") or "")
        uuid = fields.get("GPU UUID", "")
        gpus.append(
            Gpu(
                index=index,
                vendor="nvidia",
                model=fields.get("Model", ""),
                uuid="" if "?" in uuid else uuid,  # question marks until the GPU is first used
                driver=driver[1] if driver else "",
                pci=pci,
                numa=numa_of(host, f"{PCI}/{pci}"),
            )
        )
    return Finding("NVML", tuple(gpus), Origin(f"{PROC}/gpus"), warnings)
