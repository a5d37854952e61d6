"""GPUs of every vendor. A machine without any is a normal answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes import gpu_amd, gpu_intel, gpu_nvidia
from rainbow_compspec.reading import Origin, Reading, known


def probe(host: Host) -> Reading:
    """Reads the GPUs that this machine, or this container of it, may use."""
    findings = [module.find(host) for module in (gpu_nvidia, gpu_amd, gpu_intel)]
    gpus = [(gpu, finding) for finding in findings for gpu in finding.gpus]
    warnings = tuple(warning for finding in findings for warning in finding.warnings)
    if not gpus:
        looked = ", ".join(finding.looked for finding in findings)
        reading = Reading.absent("gpu", f"none seen by {looked}", count="0")
        return replace(reading, warnings=warnings)
    values = known(count=len(gpus), vendor=_only(gpu.vendor for gpu, _ in gpus))
    values |= known(model=_only(gpu.model for gpu, _ in gpus))
    origins: dict[str, Origin] = {}
    for number, (gpu, finding) in enumerate(gpus):
        entry = {f"{number}.{key}": value for key, value in _values(gpu).items()}
        values |= entry
        origins |= dict.fromkeys(entry, finding.origin)
    default = gpus[0][1].origin
    origins = {key: origin for key, origin in origins.items() if origin != default}
    return Reading("gpu", values, default, origins=origins, warnings=warnings)


def _values(gpu: Gpu) -> dict[str, str]:
    return known(
        index=gpu.index,
        vendor=gpu.vendor,
        model=gpu.model,
        memory=gpu.memory,
        uuid=gpu.uuid,
        driver=gpu.driver,
        numa=gpu.numa,
        pci=gpu.pci,
    )


def _only(names: Iterable[str]) -> str:
    """Joins the different names, in order: a node has mostly one kind of GPU."""
    return ", ".join(dict.fromkeys(name for name in names if name))
