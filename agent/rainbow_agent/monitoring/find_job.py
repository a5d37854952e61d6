"""Which job a person means: rainbow's id, REGISTRATION/ID, or a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.model import JobKey
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger

#: Digits of a job's id; every number with so many fits into 64 bits.
_MAX_ID_DIGITS: Final = 18
#: Jobs of one name that an error lists.
_MAX_NAMED: Final = 10


def no_ledger(settings: Settings) -> str:
    """A sentence: there is no ledger, and what to do."""
    source = settings.sources.get("state_dir", "default")
    return (
        f"there is no ledger in {settings.state_dir} (from {source}): no daemon has run with it."
        " Name the daemon's folder with --state-dir or RAINBOW_STATE_DIR"
    )


def find_job(ledger: SqliteLedger | None, text: str, settings: Settings) -> JobKey:
    """The job that a person means; the settings say whose ledger it is looked for in.

    Raises:
        RainbowAgentError: there is no such job, or more than one, or no ledger.
    """
    if ledger is None:
        raise RainbowAgentError(no_ledger(settings))
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
