"""The CPU probe over recorded machines."""

from __future__ import annotations

from collections.abc import Callable

import archspec.cpu
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import probes
from rainbow_compspec.facts import Core
from rainbow_compspec.host import Host
from rainbow_compspec.probes import cpu, microarch
from rainbow_compspec.probes.topology import Topology
from rainbow_compspec.reading import NOWHERE, Confidence, Status
from rainbow_compspec.recorded import RecordedHost
from rainbow_compspec.text import untokens

Recorded = Callable[[str], RecordedHost]
MadeUp = Callable[..., RecordedHost]

SERVERS = {
    "x86-two-socket": {
        "arch": "amd64",
        "vendor": "AuthenticAMD",
        "model": "AMD EPYC 7313 16-Core Processor",
        "family": "25",
        "target": "zen3",
        "target.generic": "x86_64_v3",
        "sockets": "2",
        "numa": "2",
        "cores": "32",
        "threads": "64",
        "smt": "yes",
        "cache.l3.size": str(32 << 20),
        "cache.l3.shared": "8",
        "cache.l1d.size": str(32 << 10),
        "frequency.max": "3729",
    },
    "arm64-server": {
        "arch": "arm64",
        "vendor": "ARM",
        "model": "neoverse_v1",
        "target": "neoverse_v1",
        "target.family": "aarch64",
        "sockets": "1",
        "cores": "64",
        "threads": "64",
        "smt": "no",
    },
    "nvidia-h100": {"target": "sapphirerapids", "target.generic": "x86_64_v4", "cores": "16"},
    "amd-mi250x": {"sockets": "1", "numa": "4", "cores": "16", "threads": "32"},
    "plain-vm": {"sockets": "1", "cores": "2", "virtual": "yes", "frequency.now": "2300"},
}


@pytest.mark.parametrize("name", SERVERS)
def test_servers(name: str, recorded: Recorded) -> None:
    """Sockets, physical cores, threads, caches and microarchitecture of each kind of server."""
    reading = cpu.probe(recorded(name))
    found = {key: reading.values.get(key) for key in SERVERS[name]}
    assert found == SERVERS[name]
    assert reading.status is Status.OK
    assert reading.confidence is Confidence.MEASURED
    assert len(reading.tables["core"]) == int(reading.values["cores"])


def test_cores_have_their_threads_and_domain(recorded: Recorded) -> None:
    """A core of an SMT server names both its threads, its socket and its NUMA domain."""
    core = cpu.probe(recorded("x86-two-socket")).tables["core"]
    assert untokens(core["17"]) == {"socket": "1", "numa": "1", "cpus": "17,49"}


def test_only_cores_in_the_affinity_count_as_usable(recorded: Recorded) -> None:
    """A pinned container has its own cores, numbered from 0, and the machine's count beside it."""
    reading = cpu.probe(recorded("container-cgroup-v2"))
    assert (reading.values["cores"], reading.values["cores.machine"]) == ("4", "16")
    assert untokens(reading.tables["core"]["0"])["cpus"] == "4"


def test_without_topology_every_cpu_is_a_guessed_core(recorded: Recorded) -> None:
    """Without /sys and without core ids it says how little it knows, and continues."""
    reading = cpu.probe(recorded("odd-no-topology"))
    assert (reading.values["cores"], reading.values["sockets"]) == ("3", "1")
    assert reading.origins["cores"].confidence is Confidence.GUESSED
    assert reading.values["target"] == "x86_64"


def test_cpuinfo_stands_in_for_sys(made_up: MadeUp) -> None:
    """Without /sys the cores come from `physical id` and `core id`."""
    block = "processor : {}\nphysical id : {}\ncore id : {}\n"
    places = [(0, 0), (0, 0), (1, 0), (1, 0)]
    text = "\n".join(block.format(n, socket, core) for n, (socket, core) in enumerate(places))
    reading = cpu.probe(made_up(files={"/proc/cpuinfo": text}, uname={"machine": "x86_64"}))
    assert (reading.values["sockets"], reading.values["cores"]) == ("2", "2")
    assert reading.origins["cores"].confidence is Confidence.DERIVED


def test_a_socket_number_of_minus_one_is_one_socket(made_up: MadeUp) -> None:
    """arm64 virtual machines write -1 for a package that they do not know."""
    files = {"/proc/cpuinfo": "processor : 0\n\nprocessor : 1\n"}
    files["/sys/devices/system/cpu/online"] = "0-1"
    for number in (0, 1):
        folder = f"/sys/devices/system/cpu/cpu{number}/topology"
        files |= {
            f"{folder}/core_cpus_list": str(number),
            f"{folder}/physical_package_id": "-1",
        }
    reading = cpu.probe(made_up(files=files, uname={"machine": "aarch64"}))
    assert (reading.values["sockets"], reading.values["cores"]) == ("1", "2")


def test_an_offline_thread_is_no_part_of_its_core(made_up: MadeUp) -> None:
    """With SMT switched off the siblings are still listed, but are not online."""
    files = {
        "/proc/cpuinfo": "processor : 0\n",
        "/sys/devices/system/cpu/online": "0",
        "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,1",
    }
    reading = cpu.probe(made_up(files=files, uname={"machine": "x86_64"}))
    assert (reading.values["threads"], reading.values["smt"]) == ("1", "no")


def test_no_cpuinfo_is_a_failed_reading(made_up: MadeUp) -> None:
    """A machine that cannot be read has a reading that names the file."""
    reading = probes.run(made_up(), only=["cpu"])["cpu"]
    assert reading.status is Status.FAILED
    assert "/proc/cpuinfo" in reading.reason


def test_the_override_wins(recorded: Recorded) -> None:
    """The operator's word stands in the reading, marked as such."""
    given_values = {"cpu": {"model": "Our CPU", "core.0": "socket=1"}}
    reading = probes.run(recorded("plain-vm"), ["cpu"], overrides=given_values)["cpu"]
    assert reading.values["model"] == "Our CPU"
    assert reading.tables["core"]["0"] == "socket=1"
    assert str(reading.origins["model"]) == "given: override"


def test_power_and_riscv_are_named(made_up: MadeUp) -> None:
    """Architectures with other words in /proc/cpuinfo have a model and a vendor too."""
    power = "processor : 0\ncpu : POWER9, altivec supported\n\ntimebase : 512000000\n"
    reading = cpu.probe(made_up(files={"/proc/cpuinfo": power}, uname={"machine": "ppc64le"}))
    assert reading.values["vendor"] == "IBM"
    assert reading.values["model"].startswith("POWER9")
    riscv = made_up(
        files={"/proc/cpuinfo": "processor : 0\nuarch : sifive,u74-mc\n"},
        uname={"machine": "riscv64"},
    )
    assert cpu.probe(riscv).values["target.family"] == "riscv64"


def test_this_machine_is_what_archspec_says() -> None:
    """Our way into archspec finds what its own host() finds on the machine it runs on."""
    values = cpu.probe(Host()).values
    assert values["target"] == archspec.cpu.host().name


def test_an_unknown_machine_is_its_own_family() -> None:
    """A machine that archspec has never heard of keeps uname's word."""
    found = microarch.detect("z80", "Zilog", ["ex"])
    assert found == microarch.Microarchitecture("z80", "z80", "z80")


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 2), st.sets(st.integers(0, 60)))
def test_usable_cores_are_numbered_and_only_of_the_affinity(
    sockets: int, cores: int, threads: int, cpus: set[int]
) -> None:
    """Whatever the binding: numbers run from 0, and threads are those that are bound."""
    total = sockets * cores
    machine = tuple(
        Core(n, n // cores, None, tuple(n + total * t for t in range(threads)))
        for n in range(total)
    )
    usable = Topology(machine, NOWHERE).usable(frozenset(cpus))
    online = {cpu for core in machine for cpu in core.cpus}
    assert [core.id for core in usable] == list(range(len(usable)))
    assert {cpu for core in usable for cpu in core.cpus} == (cpus & online or online)
