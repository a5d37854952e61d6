"""A ledger with many finished jobs, and how long each look at it takes.

python -m bench.big_ledger --jobs 1000000 FOLDER makes FOLDER/ledger.sqlite (once) and measures.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from bench.agents import moment
from bench.site import open_site
from rainbow_agent.core.model import Offer, Registration
from rainbow_agent.core.states import JobState
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_check import check_sum
from rainbow_agent.storage.ledger_paging import LedgerPages
from rainbow_agent.storage.ledger_rows_seen import row_digest

REGISTRATION = "0123456789ab"
#: Seconds between two jobs.
APART_S = 0.5
#: Jobs that are written at once.
BATCH = 10_000
TEXT = """version: 1
name: ensemble
resources: {{r: {{type: core, count: 1}}}}
tasks:
- {{name: run, command: [simulate, --member, '{n}'], resources: r}}
"""
#: What happens to a job, as its story has it: task or not, from, to, cause.
STORY = (
    (False, None, "received", "rainbow handed it over as 'ensemble'"),
    (True, None, "pending", "planned"),
    (True, "pending", "submitting", "about to be submitted"),
    (True, "submitting", "submitted", "submitted"),
    (False, "received", "submitted", "submitted"),
    (False, "submitted", "accepted", "rainbow was told"),
    (True, "submitted", "running", "started"),
    (False, "submitted", "running", "started"),
    (True, "running", "{end}", "ended"),
    (False, "running", "{end}", "ended"),
)


def fill(path: Path, jobs: int) -> None:
    """Make a ledger with so many jobs that are over, every hundredth of them failed."""
    with closing(SqliteLedger.open(path)) as ledger:
        begin = time.time() - jobs * APART_S
        ledger.open_registration(Registration(REGISTRATION, "bench", "127.0.0.1:50051", begin))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        for first in range(1, jobs + 1, BATCH):
            db.execute("BEGIN")
            _fill_some(db, range(first, min(first + BATCH, jobs + 1)), begin)
            db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_some(db: sqlite3.Connection, numbers: range, begin: float) -> None:
    ends = [(n, "failed" if n % 100 == 0 else "completed", begin + n * APART_S) for n in numbers]
    db.executemany(
        "INSERT INTO job (seq, registration, id, name, state, reason, received, accepted,"
        " finished, started, reported) VALUES (?, ?, ?, 'ensemble', ?, ?, ?, ?, ?, 1, ?)",
        [
            (n, REGISTRATION, n, end, "exit code 1" if end == "failed" else None, at, at, at, end)
            for n, end, at in ends
        ],
    )
    offers = [Offer(n, "ensemble", "bench", TEXT.format(n=n)) for n in numbers]
    db.executemany(
        "INSERT INTO offer (job, cluster, jobspec, crc, digest) VALUES (?, 'bench', ?, ?, ?)",
        [(o.id, o.jobspec, check_sum(o.jobspec), row_digest(o)) for o in offers],
    )
    db.executemany(
        "INSERT INTO task (seq, job, position, name, depends_on) VALUES (?, ?, 0, 'run', '[]')",
        [(n, n) for n in numbers],
    )
    db.executemany(
        "INSERT INTO replica (task, replica, job, state, flux_id, exit_code, submitted, started,"
        " finished) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)",
        [(n, n, end, n * 16, int(end == "failed"), at, at, at) for n, end, at in ends],
    )
    db.executemany(
        "INSERT INTO event (job, task, replica, at, was, now, cause) VALUES (?, ?, ?, ?, ?, ?, ?)",
        _events(ends),
    )
    db.executemany(
        "INSERT INTO report (seq, at, last, problem) VALUES (?, ?, ?, NULL)",
        [(n, at, at) for n, _, at in ends],
    )
    db.executemany(
        "INSERT INTO told (job, report, at, state) VALUES (?, ?, ?, ?)",
        [(n, n, at, end) for n, end, at in ends],
    )


def _events(ends: list[tuple[int, str, float]]) -> Iterator[tuple[object, ...]]:
    for n, end, at in ends:
        for of_task, was, now, cause in STORY:
            yield (
                n,
                n if of_task else None,
                0 if of_task else None,
                at,
                was,
                now.format(end=end),
                cause,
            )


def timed(action: Callable[[], object], rounds: int = 5) -> float:
    """The median of some rounds, in seconds."""
    seen = []
    for _ in range(rounds):
        before = time.perf_counter()
        action()
        seen.append(time.perf_counter() - before)
    return statistics.median(seen)


def measure(folder: Path, jobs: int) -> None:
    """Print how long each look takes."""
    agent = str(Path(sys.executable).with_name("rainbow-agent"))
    environ = {
        **{name: text for name, text in os.environ.items() if not name.startswith("RAINBOW_")},
        "RAINBOW_STATE_DIR": str(folder),
        "RAINBOW_CLUSTER": "bench",
        "RAINBOW_WORKLOAD": "local",
    }

    def verb(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(
            [agent, *arguments], env=environ, capture_output=True, check=False
        )

    path = folder / "ledger.sqlite"
    print(f"{path}: {jobs} jobs, {path.stat().st_size / 2**20:.0f} MiB")
    print(f"--help          {timed(verb('--help')):7.3f} s (the program itself)")
    for arguments in (("status",), ("jobs",), ("explain", str(jobs // 2)), ("doctor",)):
        print(f"{' '.join(arguments):15} {timed(verb(*arguments)):7.3f} s")
    print(f"open to write   {timed(lambda: SqliteLedger.open(path).close()):7.3f} s")
    with closing(SqliteLedger.open(path)) as ledger:
        for name in ("counts", "open_jobs", "unplanned", "unreported", "first_received"):
            print(f"{name + '()':15} {timed(getattr(ledger, name)):7.3f} s")
    looks: dict[str, dict[str, object]] = {
        "page": {},
        "page, failed": {"states": (JobState.FAILED,)},
        "page, refused": {"states": (JobState.REFUSED,)},
        "page, a text": {"text": "member"},
    }
    for title, asked in looks.items():
        print(f"{title:15} {timed(partial(_page, path, asked)):7.3f} s")


def starts(folder: Path) -> None:
    """Print how long a daemon takes to be registered, with an empty ledger and with this one."""
    with open_site() as site:
        for title, place in (("start, empty", None), ("start", folder)):
            with site.agent(place) as agent:
                seconds = moment(agent.wait_for("registered", agent.started)) - agent.started
            print(f"{title:15} {seconds:7.3f} s")


def _page(path: Path, asked: dict[str, object]) -> None:
    wanted = {"states": (), "before": None, "text": "", "limit": 50, **asked}
    with closing(LedgerPages.open(path)) as pages:
        pages.page(**wanted)  # type: ignore[arg-type] # as the page asks


def main() -> None:
    """Make the ledger where there is none, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    given = parser.parse_args()
    given.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = given.folder / "ledger.sqlite"
    if not path.exists():
        fill(path, given.jobs)
    measure(given.folder, given.jobs)
    starts(given.folder)


if __name__ == "__main__":
    main()
