"""CPU: architecture, vendor, model, topology, caches, features, frequency, microarchitecture."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rainbow_compspec.facts import Core
from rainbow_compspec.host import Host
from rainbow_compspec.probes import cpu_names, cpu_sets, microarch, topology
from rainbow_compspec.probes.cpu_names import Names
from rainbow_compspec.probes.microarch import Microarchitecture
from rainbow_compspec.probes.topology import Topology
from rainbow_compspec.reading import Choice, Confidence, Origin, Reading, known
from rainbow_compspec.text import cpu_list, format_cpus, integer, size, tokens

CPUINFO = "/proc/cpuinfo"

GO_ARCH = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
"""uname's machine -> Go's GOARCH, which compspec-go and rainbow use."""


def probe(host: Host) -> Reading:
    """Reads the CPU of a machine.

    Raises:
        HostError: there is no /proc/cpuinfo.
        ProbeFailed: no CPU is to be found.
    """
    processors = blocks(host.need(CPUINFO))
    machine = host.uname().machine
    first = processors[0] if processors else {}
    named = cpu_names.names(processors, machine)
    target = microarch.detect(
        machine,
        named.vendor,
        named.features.split(),
        "" if named.mixed else named.part,
        _generation(first),
    )
    found = topology.read(host, processors)
    bound = host.affinity()
    cores = found.usable(bound)
    counts = _counts(found, cores)
    guess = named.by_part and target.name not in named.model
    archspec = Origin(
        f"archspec, from {CPUINFO}", Confidence.GUESSED if guess else Confidence.DERIVED
    )
    return Reading(
        "cpu",
        _identity(named, target, first, machine)
        | counts
        | _isolated(host)
        | _caches(host)
        | _frequency(host, first),
        Origin(CPUINFO),
        origins=_origins(named, archspec)
        | dict.fromkeys(counts, found.origin)
        | {"core": found.origin},
        choices=_choices(named, target, found, cores),
        tables={
            "core": {
                str(core.id): tokens(
                    {"socket": core.socket, "numa": core.numa, "cpus": format_cpus(core.cpus)}
                )
                for core in cores
            }
        },
        warnings=_split(found, bound),
    )


def _identity(
    named: Names, target: Microarchitecture, first: Mapping[str, str], machine: str
) -> dict[str, str]:
    return known(
        arch=GO_ARCH.get(machine, machine),
        machine=machine,
        vendor=named.vendor,
        model=named.model,
        family=named.family,
        model_id=first.get("model") if first.get("vendor_id") else None,
        stepping=first.get("stepping") or first.get("CPU revision"),
        part=named.part,
        features=named.features,
        virtual="hypervisor" in named.features.split(),
        target=target.name,
        target_generic=target.generic,
        target_family=target.family,
    )


def _counts(found: Topology, cores: tuple[Core, ...]) -> dict[str, str]:
    """Counts what can be used, and what the machine has before affinity and cgroups."""
    return known(
        sockets=len({core.socket for core in cores}),
        numa=len({core.numa for core in cores if core.numa is not None}),
        cores=len(cores),
        threads=sum(len(core.cpus) for core in cores),
        sockets_machine=len({core.socket for core in found.cores}),
        cores_machine=len(found.cores),
        threads_machine=sum(len(core.cpus) for core in found.cores),
        numa_machine=len({core.numa for core in found.cores if core.numa is not None}),
        smt=any(len(core.cpus) > 1 for core in found.cores),
    )


def _origins(named: Names, archspec: Origin) -> dict[str, Origin]:
    sysfs = cpu_sets.CPUS
    origins = {
        "target": archspec,
        "cache": Origin(f"{sysfs}/cpu0/cache"),
        "frequency": Origin(f"{sysfs}/cpu0/cpufreq"),
        "frequency.now": Origin(CPUINFO),
        "offline": Origin(f"{sysfs}/offline"),
        "isolated": Origin(f"{sysfs}/isolated"),
        "arch": Origin("uname(2)"),
        "machine": Origin("uname(2)"),
    }
    if named.by_part:
        origins["model"] = Origin(f"{CPUINFO}: number of the part", Confidence.DERIVED)
    return origins


def _choices(
    named: Names, target: Microarchitecture, found: Topology, cores: tuple[Core, ...]
) -> dict[str, Choice]:
    """What else was there for the model, the target, and the number of cores."""
    whole = (("the machine, before affinity and cgroups", f"cores: {len(found.cores)}"),)
    count = found.choice
    if len(cores) != len(found.cores):
        bound = f"{count.why}; only cores that this process may run on can be given to jobs"
        count = Choice(bound, whole + count.others)
    choices = dict.fromkeys(("cores", "sockets", "threads", "numa", "core"), count)
    choices |= dict.fromkeys(("cores.machine", "sockets.machine", "threads.machine"), found.choice)
    if named.by_part:
        why = "the number of the part is the core's own; features fit more than one kind of core"
        choices["model"] = Choice(why, (("archspec, by features", target.name),))
        if named.mixed:
            why = "several kinds of core: the most that all of them can run"
        elif target.name in named.model:
            why = "archspec knows the number of the part"
        else:
            why = "archspec does not know the part: the most that its features allow"
        choices["target"] = Choice(why, ((f"{CPUINFO}: number of the part", named.model),))
    return choices


def _split(found: Topology, bound: frozenset[int]) -> tuple[str, ...]:
    """Warns of cores that something else may use half of."""
    count = found.split(bound)
    if not count:
        return ()
    warning = (
        f"the affinity (CPUs {format_cpus(bound)}) has only some of the threads of {count} of the "
        f"{len(found.usable(bound))} cores: they count as whole cores here and in Flux's R, and "
        "others may run on the rest of them"
    )
    return (warning,)


def _isolated(host: Host) -> dict[str, str]:
    """Returns CPUs that are off, and CPUs that the scheduler leaves alone (isolcpus=)."""
    off = known(offline=format_cpus(cpu_list(host.text(f"{cpu_sets.CPUS}/offline"))))
    return off | known(isolated=format_cpus(cpu_list(host.text(f"{cpu_sets.CPUS}/isolated"))))


def blocks(text: str) -> list[dict[str, str]]:
    """Splits /proc/cpuinfo into its processors.

    Some architectures write machine-wide lines of their own (ppc64le's `timebase`, old arm's
    `Hardware`); they come as a block without the key `processor` and are joined to the first.
    """
    found: list[dict[str, str]] = []
    rest: dict[str, str] = {}
    for block in re.split(r"\n\s*\n", text):
        fields = {
            key.strip(): value.strip()
            for key, mark, value in (line.partition(":") for line in block.splitlines())
            if mark
        }
        if "processor" in fields:
            found.append(fields)
        else:
            rest |= fields
    if found:
        found[0] = rest | found[0]
    return found or ([rest] if rest else [])


def _generation(first: dict[str, str]) -> int:
    """Returns 9 for POWER9, else 0."""
    found = re.search(r"POWER(\d+)", first.get("cpu", ""))
    return int(found[1]) if found else 0


def _caches(host: Host) -> dict[str, str]:
    """Returns size in bytes of each of CPU 0's caches, and how many CPUs share it."""
    values: dict[str, str] = {}
    folder = f"{cpu_sets.CPUS}/cpu0/cache"
    for index in host.numbered(folder, "index"):
        level = host.number(f"{folder}/index{index}/level")
        kind = (host.text(f"{folder}/index{index}/type") or "").lower()
        in_bytes = size(host.text(f"{folder}/index{index}/size"))
        if level is None or in_bytes is None:
            continue
        name = f"cache.l{level}" + {"data": "d", "instruction": "i"}.get(kind, "")
        sharing = len(cpu_list(host.text(f"{folder}/index{index}/shared_cpu_list")))
        values[f"{name}.size"] = str(in_bytes)
        if sharing:
            values[f"{name}.shared"] = str(sharing)
    return values


def _frequency(host: Host, first: dict[str, str]) -> dict[str, str]:
    """Returns frequencies in MHz: what the driver promises, else what /proc/cpuinfo shows now."""
    folder = f"{cpu_sets.CPUS}/cpu0/cpufreq"
    limits = {
        "frequency.max": host.number(f"{folder}/cpuinfo_max_freq"),  # kHz
        "frequency.min": host.number(f"{folder}/cpuinfo_min_freq"),
        "frequency.base": host.number(f"{folder}/base_frequency"),
    }
    found = {key: str(khz // 1000) for key, khz in limits.items() if khz}
    now = integer((first.get("cpu MHz") or "").partition(".")[0])
    return found or ({"frequency.now": str(now)} if now else {})
