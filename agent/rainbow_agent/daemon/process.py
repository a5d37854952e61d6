"""What the daemon asks of its process: file limits, a quiet garbage collector, and privacy."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import resource
from collections.abc import Iterable, MutableMapping
from typing import Final

from rainbow_agent.core.errors import UsageError

#: New objects between two looks at the young ones; Python's own 700 suits small programs.
YOUNG: Final = 20_000


def spare() -> None:
    """Have the garbage collector leave alone what is there now, and look at the rest seldom.

    To be called once, when all that stays for good has been made. We make few cycles, and the
    collector took a quarter of our processor time while 1,000 jobs came in at once, most of it for
    looking through modules that never go (gc.freeze() in Python's documentation).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.enable()  # off since the program began (cli/start.py)


#: Bytes of address space without which gRPC aborts the process, in the middle of anything.
MIN_ADDRESS_SPACE: Final = 512 * 2**20
#: Open files: 43 at rest over Flux, and more while nodes are looked at and probes answered.
MIN_OPEN_FILES: Final = 64
#: Bytes that the ledger or its log may come to soon; a hundred thousand jobs take twice as much.
MIN_FILE_SIZE: Final = 64 * 2**20


def expect_limits() -> None:
    """See that the limits of this process (setrlimit(2)) let the agent do its work.

    Raises:
        UsageError: one is too low.
    """
    if (limit := _limit(resource.RLIMIT_AS)) < MIN_ADDRESS_SPACE:
        raise UsageError(
            f"the address space of this process is limited to {limit // 2**20:.0f} MiB (`ulimit"
            f" -v`, RLIMIT_AS, LimitAS=), and the agent needs {MIN_ADDRESS_SPACE // 2**20} MiB, of"
            " which it uses a tenth: raise that limit, and limit the memory with a cgroup instead"
        )
    if (limit := _limit(resource.RLIMIT_NOFILE)) < MIN_OPEN_FILES:
        raise UsageError(
            f"this process may have {limit} open files (`ulimit -n`, RLIMIT_NOFILE, LimitNOFILE=),"
            f" and the agent needs {MIN_OPEN_FILES}: raise that limit"
        )
    if (limit := _limit(resource.RLIMIT_FSIZE)) < MIN_FILE_SIZE:
        raise UsageError(
            f"files of this process are limited to {limit // 2**10:.0f} KiB (`ulimit -f`,"
            f" RLIMIT_FSIZE, LimitFSIZE=), and the ledger needs {MIN_FILE_SIZE // 2**20} MiB:"
            " raise that limit"
        )


def _limit(which: int) -> float:
    soft, _ = resource.getrlimit(which)
    return math.inf if soft == resource.RLIM_INFINITY else soft


_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def keep_private(environ: MutableMapping[str, str], names: Iterable[str]) -> None:
    """Take secrets out of the environment, and keep others from looking into this process.

    Not dumpable (prctl(2)): no core dump, and /proc/PID/environ, /proc/PID/mem and ptrace(2) are
    for root alone. Jobs run as the user that the agent runs as, and could read them otherwise. It
    ends with exec(2): what is started from here is as it was.

    Args:
        environ: this process's environment.
        names: variables that hold secrets.
    """
    for name in names:
        environ.pop(name, None)
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
