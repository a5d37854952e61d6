"""Everything that doctor can find, what it means and what to do.

docs/troubleshooting.md is generated from these texts (page.py); a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Level(Enum):
    """How bad something is; the highest value, if there is any above 0, is doctor's exit code."""

    SKIP = -1  # not looked at, because a link before it is broken, or it was not asked for
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
    "settings": "The settings are valid, and every RAINBOW_* name is a setting.",
    "secrets": "Secrets and rainbow-config.yaml can be read, by their owner only.",
    "name": "Rainbow accepts the cluster's name.",
    "state": "The state folder belongs to this user, is private and writable.",
    "dns": "The scheduler's host name has an address.",
    "tcp": "The scheduler's port accepts connections.",
    "tls": "The certificates are valid, and the server accepts them.",
    "server": "It is a rainbow scheduler, and it answers.",
    "registration": "Rainbow accepts the secret.",
    "graph": "Rainbow still has the cluster's graph.",
    "flux": "There is a workload manager: Flux, or the local one.",
    "bindings": "Flux's Python bindings load.",
    "instance": "The instance answers, and belongs to this user.",
    "queue": "A scheduler is loaded, and the queue takes and starts jobs.",
    "job": "A job is taken: one is submitted, held and canceled at once; --run-job runs one.",
    "ledger": "The ledger can be read, and is intact.",
    "disk": "There is free space where the state folder is.",
    "spack": "What spack has installed can be read.",
    "clock": "The clock was not set back.",
    "daemon": "The daemon is running, and reports no problems.",
}

_WRONG, _WARNING = Level.WRONG, Level.WARNING

FAULTS: Final = {
    "setting-unusable": Fault(
        "settings",
        _WRONG,
        "A setting has a value that cannot be used; the line says which, and where it came from.",
        "Correct it there; docs/settings.md lists the valid values.",
    ),
    "setting-unknown": Fault(
        "settings",
        _WARNING,
        "A variable begins with RAINBOW_ but is not a setting: it has no effect.",
        "Correct the name, or unset it.",
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
        "Other users can read a file with secrets.",
        "chmod 600 the file; if others may have read it, replace the secrets.",
    ),
    "config-broken": Fault(
        "secrets",
        _WRONG,
        "rainbow-config.yaml exists but cannot be read. It holds the cluster's own secret.",
        "Repair it, or restore a backup: rainbow hands out the secret only once.",
    ),
    "config-missing": Fault(
        "secrets",
        _WRONG,
        "RAINBOW_CONFIG names a file that does not exist, and the cluster is registered.",
        "Correct the name. If the file was removed on purpose, remove cluster-secret.json in the"
        " state folder, too.",
    ),
    "name-unusable": Fault(
        "name",
        _WRONG,
        "Rainbow would reject this cluster name, or misread it.",
        "Set RAINBOW_CLUSTER to 1 to 63 characters of a-z, 0-9 and '-'.",
    ),
    "config-other-user": Fault(
        "secrets",
        _WRONG,
        "rainbow-config.yaml belongs to another user, who alone may read it.",
        "Run the command as that user, as the line says.",
    ),
    "state-other-user": Fault(
        "state",
        _WRONG,
        "The state folder belongs to another user: what is in it cannot be looked at.",
        "Run the command as that user, as the line says. Leave the folder to them: the daemon needs"
        " it.",
    ),
    "state-unusable": Fault(
        "state",
        _WRONG,
        "The state folder cannot be written to, or is not a folder.",
        "Give it to the user who runs the agent, or set RAINBOW_STATE_DIR to another folder.",
    ),
    "state-open": Fault(
        "state",
        _WRONG,
        "Others can write to the state folder, which holds credentials: `start` refuses it.",
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
        "The machine is reachable, but nothing is listening on that port.",
        "Start the scheduler, or correct the port in RAINBOW_HOST.",
    ),
    "tcp-silent": Fault(
        "tcp",
        _WRONG,
        "There is no answer: a firewall or network policy drops it, or there is no route.",
        "Check routes, firewalls and network policies between here and the scheduler.",
    ),
    "tls-file": Fault(
        "tls",
        _WRONG,
        "A certificate, key or CA file cannot be used.",
        "Correct the file that is named; TLS with rainbow is mutual and needs all three files.",
    ),
    "tls-refused": Fault(
        "tls",
        _WRONG,
        "The handshake fails: one side does not trust the other, or does not use TLS at all.",
        "Compare RAINBOW_TLS_CA with the server's certificate, the names in that certificate with"
        " RAINBOW_TLS_NAME, and the server's CA with the client certificate.",
    ),
    "server-silent": Fault(
        "server",
        _WRONG,
        "Something is listening, but does not answer like a rainbow scheduler.",
        "Check that RAINBOW_HOST is rainbow's gRPC port, whether it needs TLS, and its log.",
    ),
    "server-other": Fault(
        "server",
        _WRONG,
        "It speaks gRPC, but is not a rainbow scheduler, or has an unknown version.",
        "Check that RAINBOW_HOST is rainbow's gRPC port.",
    ),
    "registration-denied": Fault(
        "registration",
        _WRONG,
        "Rainbow does not accept the cluster's secret: it lost its database, or another cluster has"
        " this name.",
        "A daemon with the registration secret registers again by itself. If another cluster has"
        " this name, choose another RAINBOW_CLUSTER.",
    ),
    "secret-wrong": Fault(
        "registration",
        _WRONG,
        "Rainbow does not accept the registration secret.",
        "Set RAINBOW_SECRET_FILE (or RAINBOW_SECRET) to the secret that the server was given.",
    ),
    "not-registered": Fault(
        "registration",
        _WARNING,
        "The cluster is not registered yet; the registration secret is valid.",
        "Start the agent: it registers by itself (or `rainbow-agent register`).",
    ),
    "graph-lost": Fault(
        "graph",
        _WRONG,
        "Rainbow was restarted and lost the cluster's graph: it can match no jobs to the cluster.",
        "A running daemon sends it again with its next report; start it, or look at its log.",
    ),
    "flux-missing": Fault(
        "flux",
        _WRONG,
        "RAINBOW_WORKLOAD asks for Flux, but there is no `flux` on PATH or in the usual places.",
        "Put Flux's bin folder on PATH, or set RAINBOW_WORKLOAD=local.",
    ),
    "no-instance": Fault(
        "flux",
        _WRONG,
        "Flux is installed, but no instance was found.",
        "Run inside an instance (`flux start rainbow-agent start`), set FLUX_URI, or set"
        " RAINBOW_WORKLOAD=local.",
    ),
    "bindings-missing": Fault(
        "bindings",
        _WRONG,
        "This Python can load no Flux bindings.",
        "Install the flux-python version that matches flux-core, or run the agent with the Python"
        " that Flux's own bindings were built for.",
    ),
    "bindings-differ": Fault(
        "bindings",
        _WARNING,
        "The loaded libflux-core and the instance have different versions.",
        "Put the bin folder of the Flux that runs the instance first on PATH.",
    ),
    "instance-unreachable": Fault(
        "instance",
        _WRONG,
        "The workload manager does not answer.",
        "Check that the instance is running, and that FLUX_URI is its URI.",
    ),
    "instance-of-another": Fault(
        "instance",
        _WRONG,
        "The instance belongs to another user, and only its owner may read its journal.",
        "Run the agent as the owner of the instance.",
    ),
    "no-scheduler": Fault(
        "queue",
        _WRONG,
        "Flux has no scheduler that is loaded and ready: it takes jobs, and starts none.",
        "`flux module load sched-simple`, or Fluxion's `sched-fluxion-resource` and"
        " `sched-fluxion-qmanager`; `flux dmesg` may say why the scheduler ended. One that is"
        " loaded and not ready yet reads the nodes: Fluxion needs minutes for thousands.",
    ),
    "queue-stopped": Fault(
        "queue",
        _WRONG,
        "Somebody stopped Flux's queue: it takes jobs, and starts none.",
        "`flux queue start`, when the reason that the line quotes is over.",
    ),
    "queue-disabled": Fault(
        "queue",
        _WRONG,
        "Somebody disabled Flux's queue: it takes no jobs.",
        "`flux queue enable`, when the reason that the line quotes is over.",
    ),
    "gpus-not-given": Fault(
        "queue",
        _WARNING,
        "Nodes have GPUs, and Flux's scheduler gives them to no job: jobs for GPUs are refused.",
        "Load a scheduler that gives GPUs: Fluxion's `sched-fluxion-resource` and"
        " `sched-fluxion-qmanager` instead of sched-simple, or run flux-core 0.84 or newer.",
    ),
    "takes-no-jobs": Fault(
        "job",
        _WRONG,
        "Flux refuses every job, also the plainest: one core for a second. Jobs wait meanwhile.",
        "Where there are queues but no default one, set RAINBOW_QUEUE;"
        " otherwise the line has the words of Flux, or of a plugin of the site.",
    ),
    "job-failed": Fault(
        "job",
        _WRONG,
        "A job that runs `true` on one core failed.",
        "The line says how it ended; `flux resource list` and `flux dmesg` may say why.",
    ),
    "ledger-damaged": Fault(
        "ledger",
        _WRONG,
        "The ledger cannot be read, or is damaged.",
        "Do what the line says. If it only mentions damage, start or restart the agent: it renames"
        " the file and rebuilds what Flux and rainbow still know.",
    ),
    "ledger-other-version": Fault(
        "ledger",
        _WARNING,
        "The ledger was written by another version of the agent.",
        "Start this version of the agent, which upgrades an older ledger.",
    ),
    "disk-full": Fault(
        "disk",
        _WRONG,
        "The disk is full: received jobs could not be stored, so none are received.",
        "Free space on the file system of the state folder.",
    ),
    "disk-nearly-full": Fault(
        "disk",
        _WARNING,
        "There is little free space left.",
        "Free space on the file system of the state folder.",
    ),
    "spack-unreadable": Fault(
        "spack",
        _WARNING,
        "The spack database cannot be read: jobs that require packages do not match.",
        "Check SPACK_ROOT, and that the user who runs the agent may read the install tree.",
    ),
    "clock-back": Fault(
        "clock",
        _WRONG,
        "The clock is behind the times in the ledger: it was set back, or was wrong before.",
        "Set the clock (chrony, timedatectl). Rainbow sends no time, so a clock that is constantly"
        " wrong cannot be detected here.",
    ),
    "daemon-down": Fault(
        "daemon",
        _WARNING,
        "No daemon is running on this state folder.",
        "`rainbow-agent start`.",
    ),
    "daemon-degraded": Fault(
        "daemon",
        _WARNING,
        "The daemon is running and reports a problem; the line quotes it.",
        "docs/operations.md explains each condition.",
    ),
    "daemon-stuck": Fault(
        "daemon",
        _WRONG,
        "A daemon holds the lock but has gone silent, or one of its loops is stuck.",
        "Look at its log, then restart it; that loses nothing.",
    ),
}


def found(fault: str, text: str) -> Finding:
    """A finding of this fault."""
    known = FAULTS[fault]
    return Finding(known.check, known.level, text, fault, known.cure)


def skipped(check: str, text: str) -> Finding:
    """This link was not looked at."""
    return Finding(check, Level.SKIP, text)


def with_skipped(lines: Iterable[Finding], links: Sequence[str]) -> Iterator[Finding]:
    """The lines of a chain; those after a broken link are there, too, as not looked at.

    Args:
        lines: what was found, up to the link that is broken.
        links: the checks of this chain, in order.
    """
    seen, broken = set(), ""
    for line in lines:
        seen.add(line.check)
        broken = broken or (line.check if line.level is Level.WRONG else "")
        yield line
    if broken in links:
        for check in links[links.index(broken) + 1 :]:
            if check not in seen:
                yield skipped(check, f"not looked at: it needs `{broken}`")


def well(check: str, text: str) -> Finding:
    """All is well with this link."""
    return Finding(check, Level.OK, text)
