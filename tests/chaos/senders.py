"""`python -m chaos.senders --agents N --jobs M`: do senders see all of their jobs?

Two senders with an inbox each; one listens, the other one looks when all is over. Agents and
rainbow are killed at random meanwhile. Exits with status 1 if an end, an exit code or an output is
missing or wrong, a job ran twice, or somebody got a message about another one's job.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.desks import Desk, until
from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.fleet.messages.rows import ROW_NAME
from support.common import eventually
from support.fleet import Fleet
from support.flux import private_flux
from support.program import Program, installed
from support.servers import SchedulerKind, SchedulerProcess, running_scheduler
from support.site import missing_parts

#: Agents that are started before the first of them is waited for.
AT_ONCE: Final = 4
REGISTER_S: Final = 300.0


@dataclass
class Cluster:
    """An agent with its workload manager; it can be killed, and is started again."""

    program: Program
    stack: ExitStack

    def start(self) -> None:
        """Start the agent."""
        self.stack.enter_context(self.program.background("start"))

    def kill(self) -> None:
        """SIGKILL, and a start."""
        self.stack.close()
        self.start()


def main() -> int:
    """The program; its exit status."""
    arguments = _arguments()
    kind = SchedulerKind.REAL if arguments.parts == "real" else SchedulerKind.EMBEDDED
    if missing := missing_parts(kind, flux=arguments.flux > 0):
        print(f"chaos: {missing}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="chaos-senders-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: in order
    good = False
    try:
        with ExitStack() as stack:
            scheduler = stack.enter_context(running_scheduler(kind, folder))
            clusters = _clusters(folder, scheduler, arguments, stack)
            good = _run(folder, scheduler, clusters, arguments)
    finally:
        if good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"chaos: what was left is in {folder}", flush=True)
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos.senders", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--flux", type=int, default=0, help="of these, over a Flux of their own")
    parser.add_argument("--jobs", type=int, default=1000, help="of both senders together")
    parser.add_argument(
        "--send-minutes", type=float, default=1e6, help="after which no more jobs are sent"
    )
    parser.add_argument("--at-once", type=int, default=1, help="jobs that each sends at a time")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two jobs")
    parser.add_argument(
        "--kills", type=float, default=0.0, help="mean seconds between kills; 0: none"
    )
    parser.add_argument(
        "--minutes", type=float, default=15.0, help="until what is missing is given up"
    )
    parser.add_argument("--parts", choices=["embedded", "real"], default="embedded")
    return parser.parse_args()


def _clusters(
    folder: Path, scheduler: SchedulerProcess, arguments: argparse.Namespace, stack: ExitStack
) -> dict[str, Cluster]:
    """All agents, registered and running."""
    found: dict[str, Cluster] = {}
    for number in range(arguments.agents):
        name = f"c{number:02}"
        (folder / name).mkdir()
        environ, workload = {}, {"workload": "local", "local_cores": 4}
        if number < arguments.flux:
            environ = {"FLUX_URI": stack.enter_context(private_flux()).uri}
            workload = {"workload": "flux"}
        settings = {
            "host": scheduler.host,
            "secret": scheduler.secret,
            "cluster": name,
            "poll_min": 0.25,
            "poll_max": 2,
            "black_hole": 1_000_000,  # every other job fails by design
            **workload,
        }
        program = stack.enter_context(installed(folder / name, environ=environ, **settings))
        found[name] = Cluster(program, stack.enter_context(ExitStack()))
        found[name].start()
        if number % AT_ONCE == AT_ONCE - 1:
            eventually(program.config.exists, f"{name} is registered", seconds=REGISTER_S)
    for name, cluster in found.items():
        eventually(cluster.program.config.exists, f"{name} is registered", seconds=REGISTER_S)
    return found


def _run(
    folder: Path,
    scheduler: SchedulerProcess,
    clusters: dict[str, Cluster],
    arguments: argparse.Namespace,
) -> bool:
    tokens = {
        name: Fleet(scheduler.host, cluster.program.config).credentials.token_of(name)
        for name, cluster in clusters.items()
    }
    alice, bob = (
        Desk(folder / name, name, host=scheduler.host, secret=scheduler.secret, tokens=tokens)
        for name in ("alice", "bob")
    )
    note_stored(scheduler.db)
    marks, begin = folder / "marks", time.monotonic()
    alice.start()
    with _killing(scheduler, clusters, arguments) as kills:
        _send_all([alice, bob], marks, arguments)
        sent = time.monotonic() - begin
        lost = leave_out_lost([alice, bob], scheduler.db)
        until([alice], arguments.minutes * 60)
        _until_over(clusters, alice, bob, arguments.minutes * 60)
    print(f"chaos: sent in {sent:.0f} s, all over in {time.monotonic() - begin:.0f} s", flush=True)
    bob.start()
    whole = until([alice, bob], arguments.minutes * 60)
    arrived = time.monotonic() - begin
    for desk in (alice, bob):
        desk.end()
        desk.read_outputs()
    good = _judge([alice, bob], clusters, marks, kills)
    print(f"{'jobs that rainbow answered and did not store':<44}{lost}")
    print(f"{'seconds until all had arrived':<44}{arrived:.0f}")
    return good and whole


def note_stored(database: Path) -> None:
    """Have rainbow's database note the name of each job that is stored.

    The Go server answers SubmitJob with success where its database was locked for 5 s, and has not
    stored the job (docs/commands.md): no agent ever has it.
    """
    with closing(sqlite3.connect(database, timeout=60.0)) as db:
        db.executescript(
            "CREATE TABLE stored (name TEXT); CREATE TRIGGER note_stored AFTER INSERT ON jobs"
            f" WHEN new.name <> '{ROW_NAME}' BEGIN INSERT INTO stored VALUES (new.name); END;"
        )


def leave_out_lost(desks: list[Desk], database: Path) -> int:
    """Jobs that rainbow took and did not store count as those that it may not have taken."""
    with closing(sqlite3.connect(database, timeout=60.0)) as db:
        stored = {name for (name,) in db.execute("SELECT name FROM stored")}
    lost = [j for desk in desks for j in desk.jobs.values() if j.certain and j.name not in stored]
    for job in lost:
        job.certain = False
    return len(lost)


def _send_all(desks: list[Desk], marks: Path, arguments: argparse.Namespace) -> None:
    """Until all is sent, or the time for it is over."""
    begin = time.monotonic()
    threads = [
        threading.Thread(
            target=desk.send,
            daemon=True,
            args=(
                range(part, arguments.jobs // 2, arguments.at_once),
                marks,
                random.Random(f"{arguments.seed} {desk.name} {part}"),
                arguments.pause,
            ),
        )
        for desk in desks
        for part in range(arguments.at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, arguments.send_minutes * 60 - (time.monotonic() - begin)))
    for desk in desks:
        desk.enough.set()
    for thread in threads:
        thread.join()


@contextmanager
def _killing(
    scheduler: SchedulerProcess, clusters: dict[str, Cluster], arguments: argparse.Namespace
) -> Iterator[Counter[str]]:
    """Agents and rainbow are killed at random for as long as the block."""
    kills: Counter[str] = Counter()
    stop, rng = threading.Event(), random.Random(arguments.seed + 99)

    def strike() -> None:
        while not stop.wait(rng.expovariate(1 / arguments.kills)):
            if rng.random() < 0.2:
                scheduler.kill()
                scheduler.start()
                kills["rainbow"] += 1
            else:
                rng.choice(list(clusters.values())).kill()
                kills["agents"] += 1

    thread = threading.Thread(target=strike, name="kills", daemon=True)
    if arguments.kills:
        thread.start()
    try:
        yield kills
    finally:
        stop.set()
        if arguments.kills:
            thread.join()


def _until_over(clusters: dict[str, Cluster], alice: Desk, bob: Desk, seconds: float) -> None:
    """Until the clusters have ended all jobs, of which one sender has not looked for any."""
    expected = sum(job.certain for desk in (alice, bob) for job in desk.jobs.values())
    pause, limit = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < limit:
        rows = [row for cluster in clusters.values() for row in cluster.program.rows()]
        if sum(row.state in FINAL_JOB_STATES for row in rows) >= expected:
            return
        pause.wait(2.0)


def _judge(
    desks: list[Desk], clusters: dict[str, Cluster], marks: Path, kills: Counter[str]
) -> bool:
    """Print the figures; whether all is as it should be."""
    ran = Counter(marks.read_text().split()) if marks.exists() else Counter()
    jobs = [job for desk in desks for job in desk.jobs.values()]
    certain = [job for job in jobs if job.certain]
    wrong = {
        "ends that did not arrive (lost)": sum(not job.ends for job in certain),
        "ends that arrived and changed (doubled)": sum(len(job.ends) > 1 for job in jobs),
        "jobs that ran twice": sum(count > 1 for count in ran.values()),
        "jobs that did not run": sum(not ran[job.name] for job in certain),
        "wrong exit codes": sum(
            bool(job.ends) and {code for _, code in job.ends} != {job.code} for job in jobs
        ),
        "outputs that are missing or wrong": sum(
            bool(job.ends) and job.output != f"out of {job.name}\n" for job in jobs
        ),
        "messages about another one's job": sum(desk.strangers for desk in desks),
        "other faults": sum(len(desk.faults) for desk in desks),
    }
    figures: dict[str, object] = {
        "agents": len(clusters),
        "jobs that rainbow took": len(certain),
        "jobs that rainbow may have taken": len(jobs) - len(certain),
        "kills of agents": kills["agents"],
        "kills of rainbow": kills["rainbow"],
        "ends that arrived": sum(bool(job.ends) for job in jobs),
        "outputs that arrived": sum(job.output is not None for job in jobs),
        **wrong,
    }
    figures |= _delays(desks, clusters)
    for line, value in figures.items():
        print(f"{line:<44}{value}")
    for desk in desks:
        print(*desk.faults, *(f"missing: {job}" for job in desk.missing()[:5]), sep="\n", end="")
    return not any(wrong.values())


def _delays(desks: list[Desk], clusters: dict[str, Cluster]) -> dict[str, str]:
    """Seconds from a job's end to the moment at which its sender read of it."""
    finished = {
        row.name: row.finished for cluster in clusters.values() for row in cluster.program.rows()
    }
    figures = {}
    for desk in desks:
        found = sorted(
            job.heard - (finished.get(job.name) or job.heard)
            for job in desk.jobs.values()
            if job.heard
        )
        if found:
            some = (statistics.median(found), found[len(found) * 95 // 100], found[-1])
            line = f"delay of {desk.name}: median, 95 %, most (s)"
            figures[line] = ", ".join(f"{value:.2f}" for value in some)
    return figures


if __name__ == "__main__":
    sys.exit(main())
