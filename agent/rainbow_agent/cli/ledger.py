"""Read the ledger from a verb: read-only, and without making a file where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from rainbow_agent.cli.common import is_missing, say
from rainbow_agent.cli.state_folder import expect_folder
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.model import JobKey
from rainbow_agent.monitoring.views import ago
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, runtime_file

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger

#: Digits of a job's id; every number with so many fits into 64 bits.
_MAX_ID_DIGITS: Final = 18
#: Jobs of one name that an error lists.
_MAX_NAMED: Final = 10


@contextmanager
def reading(settings: Settings) -> Iterator[SqliteLedger | None]:
    """The ledger, read-only; None where no daemon has run.

    Raises:
        UsageError: the state folder is not one, or not this user's.
        LedgerError: it cannot be read.
    """
    expect_folder(settings)
    if is_missing(settings.ledger_path):
        yield None
        return
    from rainbow_agent.storage.ledger import SqliteLedger  # noqa: PLC0415 - not for --help

    with closing(SqliteLedger.open_readonly(settings.ledger_path)) as ledger:
        yield ledger


def _no_ledger(settings: Settings) -> str:
    source = settings.sources.get("state_dir", "default")
    return (
        f"there is no ledger in {settings.state_dir} (from {source}): no daemon has run with it."
        " Name the daemon's folder with --state-dir or RAINBOW_STATE_DIR"
    )


def warn_if_down(settings: Settings) -> None:
    """Say on standard error that no daemon is using the state folder, and since when."""
    if agent_lock.running(settings.state_dir) is not None:
        return
    heartbeat = runtime_file.read_runtime(settings.state_dir).get("heartbeat")
    since = ""
    if heartbeat:
        age = ago(max(SystemClock().now() - heartbeat, 0.0))
        since = f"; this is what the last one knew {age} ago"
    say(f"note: no daemon is using {settings.state_dir}{since}", err=True)


def warn_if_no_ledger(ledger: SqliteLedger | None, settings: Settings) -> None:
    """Say on standard error that there is no ledger, so that nothing is not taken for no jobs."""
    if ledger is None:
        say(f"note: {_no_ledger(settings)}", err=True)


def find_job(ledger: SqliteLedger | None, text: str, settings: Settings) -> JobKey:
    """The job that a person means; the settings say whose ledger it is looked for in.

    Raises:
        RainbowAgentError: there is no such job, or more than one, or no ledger.
    """
    if ledger is None:
        raise RainbowAgentError(_no_ledger(settings))
    registration, _, number = text.rpartition("/")
    if not number.isascii() or not number.removeprefix("-").isdigit():
        return _named(ledger, text, settings)
    keys = ledger.find_jobs(int(number)) if len(number) <= _MAX_ID_DIGITS else []
    if registration:
        keys = [key for key in keys if key.registration == registration]
    if not keys:
        raise RainbowAgentError(
            f"no job {text[:40]} in the ledger of {settings.state_dir}; `rainbow-agent jobs` lists"
            " all that are there"
        )
    if len(keys) > 1:
        rows = [row for key in keys[:_MAX_NAMED] if (row := ledger.job(key)) is not None]
        each = ", ".join(f"{row.key} ({row.name}, received {when(row.received)})" for row in rows)
        raise RainbowAgentError(f"rainbow gave id {number} more than once; choose one of: {each}")
    return keys[0]


def _named(ledger: SqliteLedger, text: str, settings: Settings) -> JobKey:
    """The one job of this name.

    Raises:
        UsageError: there is none, or more than one.
    """
    keys = ledger.find_named(text, limit=_MAX_NAMED + 1)
    if len(keys) == 1:
        return keys[0]
    if not keys:
        raise UsageError(
            f"{text[:40]!r} is neither the id nor the name of a job in the ledger of"
            f" {settings.state_dir}; `rainbow-agent jobs` lists all that are there"
        )
    alone = len({key.id for key in keys}) == len(keys)
    ids = ", ".join(str(key.id) if alone else str(key) for key in keys[:_MAX_NAMED])
    more = ", ..." if len(keys) > _MAX_NAMED else ""
    raise UsageError(f"more than one job is called {text[:40]!r}; choose one of: {ids}{more}")
