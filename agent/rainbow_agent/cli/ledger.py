"""Reading the ledger from a verb: read-only, and no file is made where none is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from rainbow_agent.cli.common import is_missing
from rainbow_agent.ports import Ledger
from rainbow_agent.settings import Settings


@contextmanager
def reading(settings: Settings) -> Iterator[Ledger | None]:
    """The ledger, read-only; None where no agent ever ran."""
    if is_missing(settings.ledger_path):
        yield None
        return
    from rainbow_agent.adapters.sqlite_ledger import SqliteLedger  # noqa: PLC0415 - not for --help

    with closing(SqliteLedger.open_readonly(settings.ledger_path)) as ledger:
        yield ledger
