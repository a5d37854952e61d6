"""The ledger's version, and that of the program that is installed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.storage import ledger_file
from rainbow_agent.storage.ledger import SqliteLedger


def test_a_version_that_is_installed_while_we_run_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are another version's by then; the ledger stays what this process knows."""
    newest = ledger_file.newest_version()
    scripts = shutil.copytree(ledger_file._SCRIPTS, tmp_path / "sql")
    (scripts / f"{newest + 1:04}_next.sql").write_text("CREATE TABLE later (x);")
    monkeypatch.setattr(ledger_file, "_SCRIPTS", scripts)
    path = tmp_path / "ledger.sqlite"
    for _ in range(2):
        SqliteLedger.open(path).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (newest,)
