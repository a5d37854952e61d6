"""The ledger between processes: killed writers, many writers, readers beside them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import helper_environment
from support.ledger import REGISTRATION, check_invariants, offer

BATCH = 10

_PRELUDE = """
import sys
from pathlib import Path
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import TaskState
from support.ledger import REGISTRATION, news, offer, planned

ledger = SqliteLedger.open(Path(sys.argv[1]))
ledger.open_registration(REGISTRATION)

def receive(first):
    offers = [offer(n) for n in range(first, first + 10)]
    return ledger.record_offers("r1", offers, 1001.0)
"""

_KILLED_INSIDE = (
    _PRELUDE
    + """
receive(0)
with ledger.transaction():
    keys = receive(10)
    ledger.record_plans([planned(key, "a") for key in keys], [], 1001.0)
    print("inside", flush=True)
    sys.stdin.read()
"""
)

_WITHOUT_END = (
    _PRELUDE
    + """
for first in range(0, 1_000_000, 10):
    keys = receive(first)
    print("received", first, flush=True)
    ledger.record_plans([planned(key, "a") for key in keys], [], 1001.0)
    print("planned", first, flush=True)
    ledger.apply([news(key, "a", TaskState.SUBMITTED) for key in keys])
    print("submitted", first, flush=True)
"""
)

_WRITER = (
    _PRELUDE
    + """
print("open", flush=True)
sys.stdin.readline()
for first in range(int(sys.argv[2]), int(sys.argv[2]) + 500, 10):
    keys = receive(first)
    ledger.record_plans([planned(key, "a") for key in keys], [], 1001.0)
    ledger.apply([news(key, "a", TaskState.COMPLETED) for key in keys])
ledger.close()
"""
)

_READER = """
import sys
from pathlib import Path
from rainbow_agent.storage.ledger import SqliteLedger

seen = -1
while seen < 1000:
    ledger = SqliteLedger.open_readonly(Path(sys.argv[1]))
    for _ in range(10):
        jobs, counted = ledger.jobs(), sum(ledger.counts().values())
        if len(jobs) % 10 or len(jobs) < seen or counted < len(jobs):
            sys.exit(f"{len(jobs)} jobs after {seen}, {counted} counted")
        seen = len(jobs)
    ledger.close()
"""


@contextmanager
def child(script: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs a script; killed at the end, if it is not over."""
    strict = ("-W", "error", "-W", "ignore:Binding:DeprecationWarning")  # as in pyproject.toml
    command = [sys.executable, *strict, "-c", script, *map(str, args)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=helper_environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_a_kill_inside_a_transaction_undoes_it(path: Path) -> None:
    """What was committed before it is there, nothing of it is, and work continues."""
    with child(_KILLED_INSIDE, path) as process:
        assert said(process) == ["inside"]
    with closing(SqliteLedger.open(path)) as ledger:
        assert [job.key.id for job in ledger.jobs()] == list(range(10))
        assert len(ledger.unplanned()) == 10
        assert len(ledger.record_offers("r1", [offer(n) for n in range(20)], 1002.0)) == 10
        check_invariants(ledger)


@pytest.mark.parametrize("lines", [1, 2, 3, 17, 40])
def test_a_kill_between_and_within_batches(path: Path, lines: int) -> None:
    """All that was said to be done is there; a batch is there as a whole or not at all."""
    with child(_WITHOUT_END, path) as process:
        for _ in range(lines - 1):
            said(process)
        step, first = said(process)
    with closing(SqliteLedger.open(path)) as ledger:
        check_invariants(ledger)
        jobs = ledger.jobs()
        assert len(jobs) % BATCH == 0
        assert len(jobs) >= int(first) + BATCH
        unplanned, pending = ledger.unplanned(), ledger.tasks_in([TaskState.PENDING])
        assert len(unplanned) in {0, BATCH}
        assert len(pending) in {0, BATCH}
        last = [JobKey(REGISTRATION.id, int(first) + n) for n in range(BATCH)]
        assert step == "received" or not set(last) & set(unplanned)
        assert step != "submitted" or not {task.key.job for task in pending} & set(last)


def test_two_writers_and_a_reader(path: Path) -> None:
    """No process meets a locked database or sees half a batch, and nothing is lost."""
    SqliteLedger.open(path).close()
    with (
        child(_WRITER, path, 0) as one,
        child(_WRITER, path, 500) as two,
        child(_READER, path) as reader,
    ):
        assert said(one) == said(two) == ["open"]
        ends = []
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in (one, two, reader):
            _, errors = process.communicate(timeout=60)
            ends.append((process.returncode, errors))
    assert ends == [(0, ""), (0, ""), (0, "")]
    with closing(SqliteLedger.open(path)) as ledger:
        assert len(ledger.jobs()) == 1000
        check_invariants(ledger)
