"""Making the ledger's file."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.storage import ledger_file
from rainbow_agent.storage.ledger import SqliteLedger


def test_a_ledger_is_never_seen_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its tables are made there is no ledger: a `status` then finds none, not an old one."""
    path = tmp_path / "ledger.sqlite"
    there = []
    scripts = ledger_file.scripts

    def looking() -> Sequence[tuple[int, str]]:
        there.append(path.exists())
        return scripts()

    monkeypatch.setattr(ledger_file, "scripts", looking)
    SqliteLedger.open(path).close()
    assert there[0] is False
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_half_made_ledger_is_made_anew(tmp_path: Path) -> None:
    """What a kill in the middle of making it left behind is no hindrance."""
    path = tmp_path / "ledger.sqlite"
    path.with_name("ledger.sqlite.new").write_bytes(b"half")
    with closing(SqliteLedger.open(path)) as ledger:
        assert ledger.jobs() == []
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
