"""The ledger at a limit of the process (setrlimit(2)): it waits, or another attempt is made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from rainbow_agent.core.errors import Fatal, LedgerBlocked, LedgerError
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_unwritable import cannot_write, write_again
from support.limits import largest_file, no_more_files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


def write_much(ledger: SqliteLedger) -> None:
    """Some 3 MB into the ledger's log."""
    for n in range(30):
        ledger.put_note("fact", [n, chr(ord("a") + n % 26) * 100_000])


def test_a_file_at_the_size_limit_of_the_process(path: Path) -> None:
    """As a full disk: waited for on the same connection, once the log is in the file, too."""
    limit = 2 * 2**20  # less than a log has before a commit empties it by itself
    conditions = Conditions(SystemClock())
    with closing(SqliteLedger.open(path)) as ledger:
        with largest_file(limit):
            with pytest.raises(LedgerBlocked, match=r"file size limit .*ulimit -f") as caught:
                write_much(ledger)
            assert 0 < ledger.note("fact")[0] < 29
            cannot_write(conditions, caught.value)
            assert write_again(ledger, SystemClock(), conditions)
        with largest_file(4096):
            with pytest.raises(LedgerBlocked, match="file size limit"):
                write_much(ledger)
            cannot_write(conditions, caught.value)
            with pytest.raises(LedgerBlocked, match="file size limit"):
                write_again(ledger, SystemClock(), conditions)
        assert write_again(ledger, SystemClock(), conditions)


def test_too_many_open_files_are_no_matter_of_modes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt may succeed: no error that ends the daemon with 42."""
    SqliteLedger.open(path).close()
    for opened in (SqliteLedger.open, SqliteLedger.open_readonly):
        with no_more_files(), pytest.raises(LedgerError, match="cannot be opened") as caught:
            opened(path)
        assert not isinstance(caught.value, Fatal), opened
        assert "ulimit -n" in str(caught.value)

    def unable(*_: object, **__: object) -> NoReturn:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", unable)
    with pytest.raises(LedgerError, match="ulimit -n") as caught:
        SqliteLedger.open(path)
    assert not isinstance(caught.value, Fatal)
    path.unlink()
    path.mkdir()
    with pytest.raises(Fatal, match="make the file and its folder accessible"):
        SqliteLedger.open(path)
