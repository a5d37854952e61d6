"""What to do about each condition; docs/tables.py puts it into docs/operations.md, too.

A sentence that begins "nothing" says that the agent deals with it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rainbow_agent.runtime.conditions import ConditionName, loop_stuck

ADVICE: Final[Mapping[ConditionName, str]] = {
    ConditionName.RAINBOW_UNREACHABLE: "`rainbow-agent doctor`: name, port, TLS, server",
    ConditionName.RAINBOW_DENIED: (
        "nothing, if it is over within a minute; otherwise see `registration` in troubleshooting.md"
    ),
    ConditionName.RAINBOW_REFUSES: "the reason has rainbow's message; look at its log",
    ConditionName.REPORT_UNDELIVERED: "`rainbow-agent doctor`; if rainbow answers, its log",
    ConditionName.WORKLOAD_UNREACHABLE: (
        "`flux resource list` in the instance; `rainbow-agent doctor`"
    ),
    ConditionName.WORKLOAD_TAKES_NO_JOBS: (
        "`flux queue status`, then `flux queue enable`; where there are queues but no default one, "
        "set `RAINBOW_QUEUE`, or Flux's `policy.jobspec.defaults.system.queue`. Jobs wait, and one "
        "is tried from time to time"
    ),
    ConditionName.NO_SCHEDULER: (
        "`flux module load sched-simple`, or Fluxion's modules `sched-fluxion-resource` and "
        "`sched-fluxion-qmanager`; `flux dmesg` may say why it ended. One that is loaded and not "
        "ready yet reads the nodes: Fluxion needs minutes for thousands"
    ),
    ConditionName.GPUS_NOT_GIVEN: (
        "load Fluxion instead of sched-simple, or run flux-core 0.84 or newer; jobs for GPUs "
        "are refused until then, the others run"
    ),
    ConditionName.QUEUE_STOPPED: (
        "the reason has the operator's words; `flux queue start` when it may run again. Only "
        "the queue of jobs that name none counts"
    ),
    ConditionName.QUEUE_DISABLED: (
        "the reason has the operator's words; `flux queue enable` when it may take jobs again"
    ),
    ConditionName.CLUSTER_NOT_DESCRIBED: (
        "the reason has the node's message; try `rainbow-compspec extract` on that node"
    ),
    ConditionName.NODES_SILENT: "`status` lists the nodes; look at them",
    ConditionName.RAINBOW_REUSES_IDS: (
        "rainbow's database was restored from an older copy: new jobs run, and a row that is "
        "the same in every field does not run again; the reason and the log name it"
    ),
    ConditionName.SUBSYSTEM_REFUSED: (
        "the reason has rainbow's message; jobs without `requires` are not affected"
    ),
    ConditionName.DISK_NEARLY_FULL: "free some space; on a full disk no jobs are received",
    ConditionName.HTTP_NOT_SERVED: "another process uses the port; choose another one, or `off`",
    ConditionName.HEARTBEAT_OLD: "look at the log, then restart, which loses nothing",
    ConditionName.PROCESS_STOPPED: "`kill -CONT PID`",
    ConditionName.LEDGER_UNREADABLE: "the reason says what to do; `rainbow-agent doctor`",
    ConditionName.LEDGER_UNWRITABLE: (
        "free space, or raise the limit: the agent continues by itself within seconds"
    ),
    ConditionName.LEDGER_BROKEN: (
        "look at the disk (`dmesg`); if it persists, make the folder writable or set "
        "`RAINBOW_STATE_DIR`"
    ),
    ConditionName.ASKING_WHO_RECEIVES: (
        "nothing; if another agent answers, this one names it and exits with status 42"
    ),
    ConditionName.BLACK_HOLE: (
        "`rainbow-agent logs JOB` of the last one: a broken node, image or file system; the "
        "condition ends once a job works"
    ),
    ConditionName.CLUSTER_RENAMED: (
        "start an agent for the old name with the configuration file that the reason names, "
        "or remove that file"
    ),
    ConditionName.LEDGER_REBUILT: (
        "look at the file that is named, and remove it when it is no longer needed"
    ),
}
#: Of every loop_stuck().
LOOP_STUCK: Final = "look at the log, then restart, which loses nothing"


def advice_for(name: str) -> str | None:
    """What to do about a condition, by its name; None of one that this version does not know."""
    if name.startswith(loop_stuck("")):
        return LOOP_STUCK
    return next((advice for known, advice in ADVICE.items() if known.value == name), None)
