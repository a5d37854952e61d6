"""GPUs of every vendor. A machine without any is a normal answer.

What is counted is what can be given to a job on its own: a card, or a part of one where it is
divided (MIG slices, AMD's partitions).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.probes import gpu_amd, gpu_intel, gpu_nvidia
from rainbow_compspec.probes.gpu_finding import FoundGpus
from rainbow_compspec.reading import Choice, Origin, Reading, known

_KEYS = ("model", "memory", "numa")
"""What may come from another source than the rest, or be disputed."""


def probe(host: Host) -> Reading:
    """Reads the GPUs that this machine, or this container of it, may use."""
    findings = [module.find(host) for module in (gpu_nvidia, gpu_amd, gpu_intel)]
    gpus = [
        (replace(gpu, index=number), place, finding)
        for number, (gpu, place, finding) in enumerate(
            (gpu, place, finding) for finding in findings for place, gpu in enumerate(finding.gpus)
        )
    ]
    warnings = tuple(warning for finding in findings for warning in finding.warnings)
    if not gpus:
        looked = ", ".join(finding.looked for finding in findings)
        reading = Reading.absent("gpu", f"none seen by {looked}", count="0")
        why = {"count": _why(findings)}
        return replace(reading, origin=Origin(looked), warnings=warnings, choices=why)
    all_ = [gpu for gpu, _, _ in gpus]
    values = known(
        count=len(gpus),
        cards=len({gpu.card or gpu.uuid or gpu.pci or gpu.index for gpu in all_}),
        partitioned=any(gpu.partition for gpu in all_),
        vendor=_only(gpu.vendor for gpu in all_),
        model=_only(gpu.model for gpu in all_),
    )
    origins: dict[str, Origin] = {}
    choices: dict[str, Choice] = {"count": _why(f for f in findings if f.gpus)}
    default = gpus[0][2].origin
    for number, (gpu, place, finding) in enumerate(gpus):
        values |= {f"{number}.{key}": value for key, value in _values(gpu).items()}
        if finding.origin != default:
            origins[str(number)] = finding.origin
        for key in _KEYS:
            if (origin := finding.origins.get(f"{place}.{key}")) is not None:
                origins[f"{number}.{key}"] = origin
            if (choice := finding.choices.get(f"{place}.{key}")) is not None:
                choices[f"{number}.{key}"] = choice
    return Reading("gpu", values, default, origins=origins, choices=choices, warnings=warnings)


def _why(findings: Iterable[FoundGpus]) -> Choice:
    """Joins why each vendor's GPUs are those, and what else lists some."""
    found = [finding for finding in findings if finding.choice.others or finding.gpus]
    return Choice(
        "; ".join(finding.choice.why for finding in found),
        tuple(other for finding in found for other in finding.choice.others),
    )


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
        partition=gpu.partition,
        card=gpu.card,
    )


def _only(names: Iterable[str]) -> str:
    """Joins the different names, in order: a node has mostly one kind of GPU."""
    return ", ".join(dict.fromkeys(name for name in names if name))
