"""NVIDIA GPUs: through NVML, else through /proc/driver/nvidia, which has all but the memory.

NVML's answer is final, also when it is "none". /proc/driver/nvidia shows the GPUs of the whole host
in every container, so of those only the ones whose device node is there are ours (NVIDIA driver
README, "The /proc Interface"; NVIDIA MIG user guide, "Device Nodes and Capabilities").
"""

from __future__ import annotations

import re
from dataclasses import replace

from rainbow_compspec.errors import HostError
from rainbow_compspec.facts import Gpu
from rainbow_compspec.host import Host
from rainbow_compspec.nvml import NvmlGpu
from rainbow_compspec.probes.gpu_finding import PCI, FoundGpus, numa_of, pci_address
from rainbow_compspec.reading import Choice, Confidence, Origin
from rainbow_compspec.text import integer, pairs

PROC = "/proc/driver/nvidia"

_CAN_BE_SLICED = re.compile(r"\b(A30|A[18]00|H20|H[128]00|GH200|G?B[123]00|RTX PRO [56]000)\b")
"""Models with memory of their own that MIG can divide."""

_SMALLEST_SLICE = 0.93 / 8
"""The least that a slice has of a card's memory: one part of eight, less what the driver keeps."""

_SLICED = (
    "CUDA shows a process one MIG slice, so Flux may list fewer GPUs than there are slices; "
    "the graph has those that Flux lists in R"
)


def find(host: Host) -> FoundGpus:
    """Finds NVIDIA's GPUs, in the order of NVML: by place on the PCI bus, slices within a GPU."""
    try:
        seen = host.nvml()
        warnings: tuple[str, ...] = ()
    except HostError as exc:
        seen, warnings = None, (str(exc),)
    if seen is None:
        return _from_proc(host, warnings)
    gpus: list[Gpu] = []
    notes: list[str] = []
    origins: dict[str, Origin] = {}
    for number, card in enumerate(seen):
        devices, note, guess = _devices(host, card)
        if guess:
            guessed = Origin("NVML, the model's name", Confidence.GUESSED)
            origins[f"{len(gpus)}.memory"] = guessed
        notes += [f"GPU {number} ({card.uuid}): {note}"] if note else []
        gpus += [replace(gpu, index=place) for place, gpu in enumerate(devices, len(gpus))]
    origins |= {f"{gpu.index}.numa": Origin(f"{PCI}/{gpu.pci}/numa_node") for gpu in gpus}
    if sum(bool(gpu.partition) for gpu in gpus) > 1:
        notes.append(_SLICED)
    listed = len(host.names(f"{PROC}/gpus"))
    others = ((f"{PROC}/gpus", f"{listed} GPUs of the host"),) if listed else ()
    choice = Choice("NVML sees the GPUs that this container was given, its answer is final", others)
    return FoundGpus("NVML", tuple(gpus), Origin("NVML"), tuple(notes), choice, origins)


def _devices(host: Host, card: NvmlGpu) -> tuple[list[Gpu], str, bool]:
    """Returns what of a card can be given to jobs, a warning, and whether its memory is a guess."""
    whole = Gpu(
        index=0,
        vendor="nvidia",
        model=card.model,
        memory=card.memory,
        uuid=card.uuid,
        driver=card.driver,
        pci=(pci := pci_address(card.pci)),
        numa=numa_of(host, f"{PCI}/{pci}"),
    )
    if card.mig:
        slices = [
            replace(
                whole,
                model=each.model,
                memory=each.memory,
                uuid=each.uuid,
                partition=each.profile or "mig",
                card=card.uuid,
            )
            for each in card.slices
        ]
        note = "" if slices else "is in MIG mode and has no slice that can be used here"
        return slices, note, False
    unknown = card.mig is None and card.memory is None
    if not unknown or not (card.refused or _CAN_BE_SLICED.search(card.model)):
        return [whole], "", False
    memory = _at_least(card.model)
    shown = f"at least {memory / (1 << 30):.1f} GiB" if memory else "not known"
    note = (
        "NVML does not tell its memory, so only a MIG slice of it was given to us; its size is "
        f"{shown} (RAINBOW_COMPSPEC_SET_GPU__0__MEMORY sets it)"
    )
    part = replace(whole, model=f"{card.model} MIG", memory=memory, partition="mig", card=card.uuid)
    return [part], note, True


def _at_least(model: str) -> int | None:
    """Returns the memory of the smallest slice of a model that has its memory in its name.

    The name of a Grace superchip (GH200 480GB) has that of its CPU.
    """
    found = re.search(r"(\d+) ?GB\b", model)
    if found is None or re.search(r"\bG[BH]\d", model):
        return None
    return int(int(found[1]) * (1 << 30) * _SMALLEST_SLICE)


def _from_proc(host: Host, warnings: tuple[str, ...]) -> FoundGpus:
    """Reads `Model:` and `GPU UUID:` of /proc/driver/nvidia/gpus/0000:3b:00.0/information."""
    driver = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", host.text(f"{PROC}/version") or "")
    gpus: list[Gpu] = []
    listed = sorted(host.names(f"{PROC}/gpus"))
    for place, pci in enumerate(listed):
        fields = pairs(host.text(f"{PROC}/gpus/{pci}/information") or "")
        minor = integer(fields.get("Device Minor"))  # old drivers do not write it
        if not host.exists(f"/dev/nvidia{place if minor is None else minor}"):
            continue
        uuid = fields.get("GPU UUID", "")
        card = Gpu(
            index=0,
            vendor="nvidia",
            model=fields.get("Model", ""),
            uuid="" if "?" in uuid else uuid,  # question marks until the GPU is first used
            driver=driver[1] if driver else "",
            pci=pci,
            numa=numa_of(host, f"{PCI}/{pci}"),
        )
        parts = _slices_in_proc(host, card, place if minor is None else minor)
        gpus += [replace(gpu, index=number) for number, gpu in enumerate(parts, len(gpus))]
    cannot = "NVML cannot answer" if warnings else "there is no NVML"
    hidden = len(set(listed) - {gpu.pci for gpu in gpus})
    others = ((f"{PROC}/gpus", f"{len(listed)} GPUs of the host"),) if listed else ()
    choice = Choice(
        f"{cannot}; {hidden} of the host's GPUs have no device node here and are not ours"
        if hidden
        else cannot,
        others,
    )
    return FoundGpus("NVML", tuple(gpus), Origin(f"{PROC}/gpus"), warnings, choice)


def _slices_in_proc(host: Host, card: Gpu, minor: int) -> list[Gpu]:
    """Returns a card, or its MIG slices, of which /proc has no profile: those with a device node.

    A slice is a compute instance, /proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci0, whose file
    `access` names the device node that a process needs (NVIDIA MIG user guide, "Device Nodes and
    Capabilities").
    """
    folder = f"{PROC}/capabilities/gpu{minor}/mig"
    instances = [
        f"{folder}/gi{gi}/ci{ci}"
        for gi in host.numbered(folder, "gi")
        for ci in host.numbered(f"{folder}/gi{gi}", "ci")
    ]
    if not instances:
        return [card]
    nodes = (
        pairs(host.text(f"{instance}/access") or "").get("DeviceFileMinor")
        for instance in instances
    )
    ours = [node for node in nodes if host.exists(f"/dev/nvidia-caps/nvidia-cap{node}")]
    part = replace(
        card, model=f"{card.model} MIG", uuid="", partition="mig", card=card.uuid or card.pci
    )
    return [part for _ in ours]
