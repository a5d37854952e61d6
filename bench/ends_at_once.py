"""The embedded workload manager whose jobs end as soon as they have started, without a process.

python -m bench.ends_at_once FOLDER serves the folder until SIGTERM. What an agent sees of it is
what it sees of jobs that take no time; starting a process for each would be most of the work of a
bench that is about something else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.workload.local.server import folder as folders
from rainbow_agent.workload.local.server.job_table import Job
from rainbow_agent.workload.local.server.journal_log import JournalLog
from rainbow_agent.workload.local.server.machine import this_machine
from rainbow_agent.workload.local.server.orphans import ProcessMark
from rainbow_agent.workload.local.server.processes import Processes, Surroundings
from rainbow_agent.workload.local.server.server import Server, ServerOptions
from rainbow_agent.workload.local.server.supervisor import ServerState, restore

#: So many jobs run at once.
_CORES = 64


class EndedAtOnce(Processes):
    """Jobs without processes."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._over: list[int] = []

    def start(self, job: Job) -> list[ProcessMark]:
        """The job is over with the next look."""
        self._over.append(job.id)
        os.kill(os.getpid(), signal.SIGCHLD)  # as the end of a process would
        return []

    def reap(self) -> list[tuple[int, int]]:
        """All that were started since the last look have completed."""
        over, self._over = self._over, []
        return [(job, 0) for job in over]


async def _serve(folder: Path, state: ServerState) -> None:
    processes = EndedAtOnce(Surroundings(folder, "/", 0o077, state.machine.host))
    server = Server(state, processes, ServerOptions(), SystemClock().now)
    await server.serve(folders.listen(folder))


def main(folder: Path) -> None:
    """Serve."""
    folders.prepare(folder)
    folders.sign_lock(folders.take_lock(folder))
    journal = JournalLog.open(folder / folders.JOURNAL)
    asyncio.run(_serve(folder, restore(this_machine(_CORES), journal, SystemClock().now())))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
