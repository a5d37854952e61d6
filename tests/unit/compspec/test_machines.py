"""What is true of each made machine, as node JSON has it (sources: fixtures/hosts/README.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from rainbow_compspec import node, probes
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.node import Document
from rainbow_compspec.recorded import RecordedHost
from rainbow_compspec.subsystems import hardware
from rainbow_compspec.text import untokens

Recorded = Callable[[str], RecordedHost]

GIB = 1 << 30
ABSENT = None

MACHINES: dict[str, dict[str, str | None]] = {
    "four-sockets-near": {"cpu:sockets": "4", "cpu:cores": "8", "cpu:numa": "4"},
    "harpertown": {"cpu:sockets": "1", "cpu:cores": "4"},
    "xeon-max-flat": {
        "cpu:sockets": "2",
        "cpu:cores": "16",
        "cpu:numa": "8",
        "memory:total": str(8 * (64 + 16) * GIB),
        "memory:numa.15.total": str(16 * GIB),
    },
    "epyc-l3-domains": {
        "cpu:sockets": "1",
        "cpu:cores": "8",
        "cpu:threads": "16",
        "cpu:numa": "4",
        "cpu:cache.l3.shared": "4",
    },
    "opteron-modules": {
        "cpu:sockets": "2",
        "cpu:cores": "8",
        "cpu:threads": "8",
        "cpu:smt": "no",
        "cpu:numa": "4",
    },
    "alder-lake": {"cpu:cores": "6", "cpu:threads": "8", "cpu:smt": "yes", "gpu:count": "0"},
    "offline-isolated": {
        "cpu:cores": "2",
        "cpu:threads": "3",
        "cpu:cores.machine": "4",
        "cpu:threads.machine": "7",
        "cpu:offline": "5",
        "cpu:isolated": "2,6",
    },
    "a64fx": {
        "cpu:vendor": "Fujitsu",
        "cpu:model": "a64fx",
        "cpu:target": "a64fx",
        "cpu:sockets": "1",
        "cpu:cores": "8",
        "cpu:numa": "4",
        "memory:total": str(32 * GIB),
    },
    "apple-m1": {
        "cpu:vendor": "Apple",
        "cpu:model": "m1/Firestorm",
        "cpu:target": "m1",
        "cpu:sockets": "1",
        "cpu:cores": "8",
        "cpu:numa": "0",
    },
    "gb10": {
        "cpu:model": "Cortex-A725/Cortex-X925",
        "cpu:target.family": "aarch64",
        "cpu:sockets": "1",
        "cpu:cores": "4",
        "gpu:count": "1",
        "gpu:0.model": "NVIDIA GB10",
        "gpu:0.memory": ABSENT,
        "gpu:partitioned": "no",
        "warnings:gpu.0": ABSENT,
    },
    "arm64-server": {"cpu:model": "neoverse_v1", "network:rdma.rdmap0s6.port.1.transport": "efa"},
    "graviton4": {
        "cpu:model": "neoverse_v2",
        "cpu:target": "neoverse_v2",
        "network:rdma.rdmap0s6.port.1.transport": "efa",
    },
    "grace-hopper": {
        "cpu:model": "neoverse_v2",
        "cpu:numa": "1",
        "memory:total": str(480 * GIB),
        "memory:gpus": str(95 * GIB),
        "memory:numa.1.total": ABSENT,
        "gpu:count": "1",
        "gpu:0.memory": "102625181696",
        "gpu:0.numa": "0",
    },
    "power9-v100": {
        "cpu:target": "power9le",
        "cpu:sockets": "2",
        "cpu:cores": "4",
        "cpu:threads": "16",
        "memory:total": str(256 * GIB),
    },
    "power10": {"cpu:target": "power10le", "cpu:cores": "2", "memory:total": str(96 * GIB)},
    "s390": {
        "cpu:vendor": "IBM/S390",
        "cpu:model": "IBM Z, machine type 8561",
        "cpu:target": "s390x",
        "cpu:sockets": "2",
        "cpu:cores": "4",
    },
    "h100-mig": {
        "gpu:count": "8",
        "gpu:cards": "2",
        "gpu:partitioned": "yes",
        "gpu:0.model": "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "gpu:0.partition": "1g.10gb",
        "gpu:0.memory": str(9984 << 20),
        "gpu:0.card": "GPU-00000000-0000-0000-0000-000000000001",
        "gpu:6.index": "6",
        "gpu:7.model": "NVIDIA H100 80GB HBM3",
        "gpu:7.memory": "85520809984",
        "gpu:7.numa": "1",
        "gpu:7.partition": ABSENT,
    },
    "b200-mig": {
        "gpu:count": "2",
        "gpu:cards": "1",
        "gpu:0.partition": "4g.90gb",
        "gpu:1.memory": str(22800 << 20),
    },
    "a100-pod-one-slice": {
        "gpu:count": "1",
        "gpu:0.model": "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
        "gpu:0.memory": str(40192 << 20),
        "gpu:0.uuid": "MIG-00000000-0000-0000-0000-000000000001",
        "warnings:gpu.0": ABSENT,
    },
    "nvidia-pod-without-gpu": {"gpu:count": "0"},
    "mi300x-cpx": {
        "gpu:count": "16",
        "gpu:cards": "2",
        "gpu:partitioned": "yes",
        "gpu:model": "AMD Instinct MI300X OAM",
        "gpu:0.memory": str(24 * GIB),
        "gpu:0.partition": "cpx",
        "gpu:9.memory": str(24 * GIB),
        "gpu:9.pci": "0000:26:00.0",
        "gpu:9.numa": "1",
        "gpu:9.uuid": "GPU-000000000000000c-1",
        "gpu:9.card": "GPU-000000000000000c",
    },
    "mi308x-dpx": {
        "gpu:count": "1",
        "gpu:partitioned": "yes",
        "gpu:0.pci": "0003:00:04.0",
        "gpu:0.memory": str(96 * GIB),
        "gpu:0.model": "gfx942",
    },
    "mi250": {
        "gpu:count": "2",
        "gpu:cards": "2",
        "gpu:partitioned": "no",
        "gpu:model": "AMD Instinct MI250",
        "gpu:1.pci": "0000:2c:00.0",
        "gpu:1.memory": str(64 * GIB),
        "gpu:1.uuid": "GPU-0000000000000008",
    },
    "strix-halo": {
        "gpu:count": "1",
        "gpu:0.model": "gfx1151",
        "gpu:0.memory": str(110 * GIB),
        "gpu:partitioned": "no",
    },
    "vega-old-kfd": {"gpu:0.model": "device 0x66a1", "gpu:0.memory": str(32 * GIB)},
    "arc-discrete": {
        "gpu:count": "1",
        "gpu:0.model": "Arc A750",
        "gpu:0.pci": "0000:03:00.0",
        "gpu:0.memory": ABSENT,
        "warnings:gpu.0": ABSENT,
    },
    "ethernet-rdma": {
        "network:rdma.i40iw0.port.1.transport": "iwarp",
        "network:rdma.rocep1s0.port.1.transport": "roce",
    },
    "multi-plane": {
        "network:rdma": "ibp3s0 ibp4s0",
        "network:rdma.ibp3s0.port.1.transport": "infiniband",
        "network:rdma.smi1.port.1.transport": ABSENT,
    },
    "soft-rdma": {
        "network:rdma": ABSENT,
        "network:interfaces": "eth0",
        "network:rdma.rxe0.port.1.transport": ABSENT,
    },
    "h200-mig": {
        "gpu:count": "3",
        "gpu:cards": "2",
        "gpu:partitioned": "yes",
        "gpu:0.partition": "4g.71gb",
        "gpu:1.memory": str(16384 << 20),
        "gpu:2.memory": "150754000000",
        "gpu:2.partition": ABSENT,
    },
    "mi300a": {
        "gpu:count": "4",
        "gpu:partitioned": "no",
        "gpu:3.memory": str(128 * GIB),
        "gpu:3.numa": "3",
        "memory:total": str(512 * GIB),
    },
    "slingshot": {
        "network:rdma": "cxi0 cxi1",
        "network:rdma.cxi0.port.1.transport": "slingshot",
        "network:rdma.cxi0.port.1.rate": "200 Gb/sec",
        "network:rdma.cxi1.port.1.rate": "400 Gb/sec",
    },
    "cgroup1-nested": {
        "cgroup:cpu.quota": "6",
        "cgroup:memory.limit": str(6 * GIB),
        "memory:usable": str(6 * GIB),
        "memory:total": str(64 * GIB),
    },
    "cgroup2-host-namespace": {
        "cgroup:cpu.quota": "2",
        "cgroup:memory.limit": str(4 * GIB),
        "memory:usable": str(4 * GIB),
    },
    "software": {
        "mpi:implementation": "intel-mpi",
        "mpi:version": "2019.8",
        "module:git": "1.8.4.4 1.9.2",
        "module:gcc": "12.3.0 13.1.0 latest",
        "module:tool": "default",
        "modules:count": "6",
    },
}


def _described(host: RecordedHost) -> Document:
    return node.document(probes.run(host), "node0")


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_true_of_it(name: str, recorded: Recorded) -> None:
    """Every made machine is described as it is, also where its files mislead."""
    ours = _described(recorded(name))["rainbow"]
    found = {}
    for key in MACHINES[name]:
        section, _, inner = key.partition(":")
        found[key] = ours.get(section, {}).get(inner)
    assert found == MACHINES[name]


ORDERS = {
    "four-sockets-near": ["0", "4", "2", "6", "1", "5", "3", "7"],
    "harpertown": ["0", "2", "1", "3"],
    "xeon-max-flat": [str(cpu) for cpu in range(16)],
    "epyc-l3-domains": [f"{cpu}-{cpu + 1}" for cpu in range(0, 16, 2)],
    "opteron-modules": ["0", "1", "2", "3", "4", "5", "6", "7"],
    "alder-lake": ["0-1", "2-3", "4", "5", "6", "7"],
    "apple-m1": ["0", "1", "2", "3", "4", "5", "6", "7"],
    "power9-v100": ["0-3", "4-7", "88-91", "92-95"],
    "offline-isolated": ["0", "3,7"],
}
"""The CPUs of each core, in the order of hwloc's numbers (contract/test_core_order.py asks it)."""


@pytest.mark.parametrize("name", ORDERS)
def test_cores_have_the_numbers_of_hwloc(name: str, recorded: Recorded) -> None:
    """Packages near each other, shared caches, modules: Flux's R counts cores in this order."""
    table = _described(recorded(name))["rainbow"]["core"]
    assert [untokens(table[str(number)])["cpus"] for number in range(len(table))] == ORDERS[name]


def _hardware(doc: Document) -> Mapping[str, str]:
    facts: NodeFacts = node.to_facts(doc)
    return {key: value for key, value in hardware(facts).attributes.items() if value}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h100-mig", {"gpu.memory.gib": "10", "gpu.partitioned": "yes", "gpu.count": "8"}),
        ("mi250", {"gpu.memory.gib": "64", "gpu.partitioned": "no"}),
        ("gb10", {"gpu.memory.gib": None, "gpu.partitioned": "no", "memory.gib": "119"}),
        ("grace-hopper", {"memory.gib": "480", "gpu.memory.gib": "96"}),
        ("cgroup1-nested", {"memory.gib": "6", "network.rdma": "no"}),
        (
            "slingshot",
            {
                "network.rdma": "yes",
                "network.rdma.slingshot": "yes",
                "network.rdma.gbps": "400",
            },
        ),
        ("multi-plane", {"network.rdma.infiniband": "yes", "network.rdma.gbps": "800"}),
        ("ethernet-rdma", {"network.rdma.iwarp": "yes", "network.rdma.roce": "yes"}),
        ("soft-rdma", {"network.rdma": "no", "network.rdma.roce": None}),
        ("h200-mig", {"gpu.memory.gib": "16", "gpu.partitioned": "yes", "gpu.count": "3"}),
        ("arc-discrete", {"gpu.memory.gib": None, "cpu.cores": "4"}),
    ],
)
def test_what_jobs_can_ask_for(
    name: str, expected: dict[str, str | None], recorded: Recorded
) -> None:
    """`hardware` says what every device has: the smallest GPU's memory, nothing unknown."""
    found = _hardware(_described(recorded(name)))
    assert {key: found.get(key) for key in expected} == expected


def test_a_split_core_is_warned_of(recorded: Recorded) -> None:
    """The warning names the affinity and how many cores are split."""
    reading = probes.run(recorded("offline-isolated"), ["cpu"])["cpu"]
    assert "0,3,7" in reading.warnings[0]
    assert "1 of the 2 cores" in reading.warnings[0]


def test_slices_are_warned_of(recorded: Recorded) -> None:
    """A host with MIG slices says that Flux may list fewer GPUs."""
    reading = probes.run(recorded("h100-mig"), ["gpu"])["gpu"]
    assert any("Flux may list fewer GPUs" in warning for warning in reading.warnings)


def test_a_card_in_mig_mode_without_slices_is_warned_of(recorded: Recorded) -> None:
    """Nothing can run on it, whole as it looks."""
    reading = probes.run(recorded("h200-mig"), ["gpu"])["gpu"]
    assert any("is in MIG mode and has no slice" in warning for warning in reading.warnings)


def test_numa_is_told_to_compspec_go(recorded: Recorded) -> None:
    """Eight domains are NUMA, also where the kernel does not tell their memory."""
    host = recorded("opteron-modules")
    readings = probes.run(host, ["cpu"])
    memory = node.document(readings, "node0")["nfd"]["memory"]
    assert memory == {"numa.is_numa": "true", "numa.node_count": "4"}
