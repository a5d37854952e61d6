"""Everything that doctor can find, each with what it means and what to do.

docs/troubleshooting.md is made of these texts (page.py), and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Level(Enum):
    """How bad something is; its value is doctor's exit code."""

    OK = 0
    WARNING = 1
    WRONG = 2


@dataclass(frozen=True)
class Fault:
    """One thing that can be wrong."""

    check: str  # the line of doctor's that finds it
    level: Level
    means: str
    cure: str


@dataclass(frozen=True)
class Finding:
    """One line of doctor's answer."""

    check: str
    level: Level
    text: str  # what was seen
    fault: str = ""  # its name in FAULTS; "" when all is well
    cure: str = ""


#: The links of the chain, in the order in which each needs the one before.
CHECKS: Final = {
    "settings": "The settings can be read, and every RAINBOW_* name is one.",
    "secrets": "Secrets and rainbow-config.yaml can be read, and only by us.",
    "name": "The cluster's name is one that rainbow takes.",
    "state": "The state folder is ours, private and writable.",
    "dns": "The scheduler's name has an address.",
    "tcp": "Something listens there.",
    "tls": "The certificates are good, and the server takes them.",
    "server": "It is a rainbow scheduler, and it answers.",
    "registration": "Rainbow takes our secret.",
    "graph": "Rainbow still has the cluster's graph.",
    "flux": "There is a workload manager: Flux, or the local one.",
    "bindings": "Flux's Python bindings load.",
    "instance": "The instance answers, and is ours.",
    "job": "A job can be submitted and runs (--run-job).",
    "ledger": "The ledger can be read, and is whole.",
    "disk": "There is room where the state folder is.",
    "spack": "What spack has installed can be read.",
    "clock": "The clock did not go back.",
    "daemon": "The daemon runs, and says that all is well.",
}

_WRONG, _WARNING = Level.WRONG, Level.WARNING

FAULTS: Final = {
    "setting-unusable": Fault(
        "settings",
        _WRONG,
        "A setting has a value that cannot be used; the line names it and where it came from.",
        "Correct it there; docs/settings.md has what each setting may be.",
    ),
    "setting-unknown": Fault(
        "settings",
        _WARNING,
        "A variable begins with RAINBOW_ and is no setting: it does nothing.",
        "Write the name that is meant, or unset it.",
    ),
    "secret-unreadable": Fault(
        "secrets",
        _WRONG,
        "The file that a ..._FILE variable names cannot be read, or is empty.",
        "Check that the secret is mounted there, and that the user who runs the agent may read it.",
    ),
    "secret-missing": Fault(
        "secrets",
        _WRONG,
        "The cluster is not registered, and there is no secret to register it with.",
        "Set RAINBOW_SECRET_FILE (or RAINBOW_SECRET) to rainbow's registration secret.",
    ),
    "secret-exposed": Fault(
        "secrets",
        _WARNING,
        "A file with secrets can be read by others.",
        "chmod 600 the file; if others had access, have new secrets made.",
    ),
    "config-broken": Fault(
        "secrets",
        _WRONG,
        "rainbow-config.yaml is there and cannot be read. It holds the cluster's own secret.",
        "Repair it, or put the copy back: rainbow gives the secret only once.",
    ),
    "name-unusable": Fault(
        "name",
        _WRONG,
        "Rainbow would not take this cluster name, or would take it for something else.",
        "Set RAINBOW_CLUSTER to 1 to 63 of a-z, 0-9 and '-'.",
    ),
    "state-unusable": Fault(
        "state",
        _WRONG,
        "The state folder cannot be written, or is no folder.",
        "Give it to the user who runs the agent, or set RAINBOW_STATE_DIR to another.",
    ),
    "state-open": Fault(
        "state",
        _WRONG,
        "Others can write to the state folder. It holds credentials: `start` refuses it.",
        "chmod 700 the folder.",
    ),
    "dns-unknown": Fault(
        "dns",
        _WRONG,
        "The scheduler's host name has no address.",
        "Check RAINBOW_HOST, and that this machine's resolver knows the name"
        " (in a pod: SERVICE.NAMESPACE.svc).",
    ),
    "tcp-refused": Fault(
        "tcp",
        _WRONG,
        "The machine is there, and nothing listens on that port.",
        "Start the scheduler, or correct the port in RAINBOW_HOST.",
    ),
    "tcp-silent": Fault(
        "tcp",
        _WRONG,
        "No answer to the connection: a firewall or network policy drops it, or the route is gone.",
        "Check routes, firewalls and network policies between here and the scheduler.",
    ),
    "tls-file": Fault(
        "tls",
        _WRONG,
        "A certificate, key or CA file cannot be used.",
        "Correct the file that is named; TLS with rainbow is mutual and needs all three.",
    ),
    "tls-refused": Fault(
        "tls",
        _WRONG,
        "The handshake fails: one side does not trust, or does not speak TLS at all.",
        "Compare RAINBOW_TLS_CA with the server's certificate, its names with RAINBOW_TLS_NAME,"
        " and the CA that the server has with ours.",
    ),
    "server-silent": Fault(
        "server",
        _WRONG,
        "Something listens and does not answer as a rainbow scheduler does.",
        "Check that RAINBOW_HOST is rainbow's gRPC port, whether it wants TLS, and its log.",
    ),
    "server-other": Fault(
        "server",
        _WRONG,
        "It speaks gRPC and is no rainbow scheduler, or one of a version that we do not know.",
        "Check that RAINBOW_HOST is rainbow's gRPC port.",
    ),
    "registration-denied": Fault(
        "registration",
        _WRONG,
        "Rainbow does not take the cluster's secret: it lost its database, or another cluster has"
        " the name.",
        "A daemon with the registration secret registers again by itself. If another cluster has"
        " the name, choose another RAINBOW_CLUSTER.",
    ),
    "secret-wrong": Fault(
        "registration",
        _WRONG,
        "Rainbow does not take the registration secret.",
        "Set RAINBOW_SECRET_FILE (or RAINBOW_SECRET) to what the server was started with.",
    ),
    "not-registered": Fault(
        "registration",
        _WARNING,
        "The cluster is not registered yet; the registration secret is good.",
        "Start the agent: it registers by itself (or `rainbow-agent register`).",
    ),
    "graph-lost": Fault(
        "graph",
        _WRONG,
        "Rainbow was restarted and lost the cluster's graph: no job can be matched to it.",
        "A daemon that runs loads it again within a report; start it, or look at its log.",
    ),
    "flux-missing": Fault(
        "flux",
        _WRONG,
        "RAINBOW_WORKLOAD asks for Flux, and no `flux` is on PATH or at the usual places.",
        "Put Flux's bin folder on PATH, or set RAINBOW_WORKLOAD=local.",
    ),
    "no-instance": Fault(
        "flux",
        _WRONG,
        "Flux is installed, and no instance is in sight.",
        "Run inside an instance (`flux start rainbow-agent start`), set FLUX_URI, or set"
        " RAINBOW_WORKLOAD=local.",
    ),
    "bindings-missing": Fault(
        "bindings",
        _WRONG,
        "There are no Flux bindings that this Python can load.",
        "Install the flux-python of the version of flux-core, or run the agent with the Python"
        " that Flux's own bindings are for.",
    ),
    "bindings-differ": Fault(
        "bindings",
        _WARNING,
        "The libflux-core that is loaded is of another version than the instance.",
        "Put the bin folder of the Flux that runs the instance first on PATH.",
    ),
    "instance-unreachable": Fault(
        "instance",
        _WRONG,
        "The workload manager does not answer.",
        "Check that the instance runs, and that FLUX_URI is its URI.",
    ),
    "instance-of-another": Fault(
        "instance",
        _WRONG,
        "The instance belongs to another user, and only its owner may read its journal.",
        "Run the agent as the owner of the instance.",
    ),
    "job-failed": Fault(
        "job",
        _WRONG,
        "A job of one core that runs `true` did not end well.",
        "Its end is in the line; `flux resource list` and `flux dmesg` say what the instance"
        " lacks.",
    ),
    "ledger-damaged": Fault(
        "ledger",
        _WRONG,
        "The ledger cannot be read, or is damaged.",
        "Do what the line says. Where it names damage only, start the agent, or start it again: it"
        " keeps the file aside and rebuilds what Flux and rainbow still know.",
    ),
    "ledger-other-version": Fault(
        "ledger",
        _WARNING,
        "The ledger is of another version of the agent.",
        "Start this version of the agent, which brings an older one up to date.",
    ),
    "disk-full": Fault(
        "disk",
        _WRONG,
        "There is no room: what is received cannot be written down, so nothing is received.",
        "Free space on the file system of the state folder.",
    ),
    "disk-nearly-full": Fault(
        "disk",
        _WARNING,
        "There is little room left.",
        "Free space on the file system of the state folder.",
    ),
    "spack-unreadable": Fault(
        "spack",
        _WARNING,
        "spack is there, and its database cannot be read: jobs that require packages do not match.",
        "Check SPACK_ROOT, and that the user who runs the agent may read the install tree.",
    ),
    "clock-back": Fault(
        "clock",
        _WRONG,
        "The clock is behind what is written in the ledger: it was set back, or was wrong before.",
        "Set the clock (chrony, timedatectl). Rainbow tells no time of its own, so a clock that is"
        " wrong and goes on evenly is not seen here.",
    ),
    "daemon-down": Fault(
        "daemon",
        _WARNING,
        "No daemon runs on this state folder.",
        "`rainbow-agent start`.",
    ),
    "daemon-degraded": Fault(
        "daemon",
        _WARNING,
        "The daemon runs and says that something is wrong; the line has its words.",
        "See docs/operations.md for each name.",
    ),
    "daemon-stuck": Fault(
        "daemon",
        _WRONG,
        "A daemon holds the lock and says nothing, or one of its loops does not move.",
        "Look at its log, then restart it; that loses nothing.",
    ),
}


def found(fault: str, text: str) -> Finding:
    """A finding of this fault."""
    known = FAULTS[fault]
    return Finding(known.check, known.level, text, fault, known.cure)


def well(check: str, text: str) -> Finding:
    """All is well with this link."""
    return Finding(check, Level.OK, text)
