"""Reading the ledger from a verb: read-only, and no file is made where none is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import click

from rainbow_agent.cli.common import is_missing
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.model import JobKey
from rainbow_agent.monitoring.views import ago
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import state_dir

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger

#: Of a job's id at most; every number with so many fits into 64 bits.
_DIGITS: Final = 18


@contextmanager
def reading(settings: Settings) -> Iterator[SqliteLedger | None]:
    """The ledger, read-only; None where no agent ever ran."""
    if is_missing(settings.ledger_path):
        yield None
        return
    from rainbow_agent.storage.ledger import SqliteLedger  # noqa: PLC0415 - not for --help

    with closing(SqliteLedger.open_readonly(settings.ledger_path)) as ledger:
        yield ledger


def warn_if_down(settings: Settings) -> None:
    """Say on standard error that the daemon is down, and for how long."""
    if state_dir.running(settings.state_dir) is not None:
        return
    heartbeat = state_dir.read_runtime(settings.state_dir).get("heartbeat")
    since = ""
    if heartbeat:
        since = f", for {ago(max(SystemClock().now() - heartbeat, 0.0))} now"
    click.echo(f"note: the daemon is not running{since}; this is what it knew", err=True)


def find_job(ledger: SqliteLedger | None, text: str) -> JobKey:
    """The job that a person means.

    Raises:
        UsageError: the text is no job id.
        RainbowAgentError: there is no such job, or more than one.
    """
    registration, _, number = text.rpartition("/")
    if not number.isascii() or not number.removeprefix("-").isdigit():
        raise UsageError(f"{text[:40]!r} is not a job id: use the number in `rainbow-agent jobs`")
    keys = ledger.find_jobs(int(number)) if ledger and len(number) <= _DIGITS else []
    if registration:
        keys = [key for key in keys if key.registration == registration]
    if not keys:
        raise RainbowAgentError(f"no job {text[:40]} in the ledger; `rainbow-agent jobs` lists all")
    if len(keys) > 1:
        names = ", ".join(str(key) for key in keys)
        raise RainbowAgentError(f"rainbow gave id {number} more than once; choose one of: {names}")
    return keys[0]
