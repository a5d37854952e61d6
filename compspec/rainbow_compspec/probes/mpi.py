"""MPI: which implementation and version stands first on PATH."""

from __future__ import annotations

import re

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Choice, Confidence, Origin, Reading, known

LAUNCHERS = ("mpirun", "mpiexec", "mpichversion")
"""Programs that tell their version, in the order in which they are asked."""

_NUMBERS = r"(\d+(?:\.\d+)*(?:[a-z]+\d*)?)"
_SAYINGS = (
    ("OpenMPI", re.compile(rf"Open(?: MPI|RTE)\)?\s+v?{_NUMBERS}")),
    ("intel-mpi", re.compile(rf"Intel\(R\) MPI Library.*?Version\s+{_NUMBERS}", re.DOTALL)),
    ("mvapich2", re.compile(rf"MVAPICH2?(?: Version:)?\s+{_NUMBERS}")),
    ("mpich", re.compile(rf"(?:HYDRA build details|MPICH).*?Version:\s+{_NUMBERS}", re.DOTALL)),
)
"""Implementation, as compspec-go writes it, and what its launcher says of its version."""


def probe(host: Host) -> Reading:
    """Asks the launcher on PATH for its version.

    MVAPICH comes with MPICH's launcher and so looks like MPICH, unless `mpiname` is beside it.
    """
    tried = []
    for name in LAUNCHERS:
        path = host.which(name)
        if path is None:
            continue
        args = [name] if name == "mpichversion" else [name, "--version"]
        found = identify(_output(host, args))
        origin, choice = Origin(f"`{' '.join(args)}`"), Choice(f"{name} is the first on PATH")
        if found and found[0] == "mpich" and host.which("mpiname"):
            better = identify(_output(host, ["mpiname", "-a"]))
            if better:
                why = "MVAPICH comes with MPICH's launcher; mpiname knows better"
                choice = Choice(why, ((str(origin), " ".join(found)),))
                found, origin = better, Origin("`mpiname -a`")
        if found:
            values = known(implementation=found[0], version=found[1], launcher=path)
            return Reading("mpi", values, origin, choices=dict.fromkeys(values, choice))
        tried.append(path)
    cray = host.env("CRAY_MPICH_VERSION")
    if cray:
        values = known(implementation="cray-mpich", version=cray)
        return Reading("mpi", values, Origin("$CRAY_MPICH_VERSION", Confidence.DERIVED))
    if tried:
        return Reading.failed(
            "mpi", f"{', '.join(tried)} gave no version that we can read within 1 s"
        )
    return Reading.absent("mpi", f"none of {', '.join(LAUNCHERS)} is on PATH")


def identify(output: str) -> tuple[str, str] | None:
    """Returns implementation and version from what a launcher says of itself."""
    for implementation, saying in _SAYINGS:
        found = saying.search(output)
        if found:
            return implementation, found[1] + _update(output[found.end() :])
    return None


def _update(rest: str) -> str:
    """Returns `.8` for Intel's `2019 Update 08`: it is the version 2019.8."""
    found = re.match(r"\s+Update\s+(\d+)", rest)
    return f".{int(found[1])}" if found else ""


def _output(host: Host, args: list[str]) -> str:
    completed = host.run(args)
    return "" if completed is None else completed.output
