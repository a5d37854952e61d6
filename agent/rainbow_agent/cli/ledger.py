"""Read the ledger from a verb: read-only, and without making a file where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from rainbow_agent.cli.common import is_missing, say
from rainbow_agent.cli.state_folder import expect_folder
from rainbow_agent.monitoring.find_job import no_ledger
from rainbow_agent.monitoring.views import ago
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, runtime_file

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger


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
        say(f"note: {no_ledger(settings)}", err=True)
