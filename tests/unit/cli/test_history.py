"""`rainbow-agent history export`: all that the ledger has, in a file for other programs."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rainbow_agent.cli import main
from rainbow_agent.cli.history import JOBS_PER_READ
from rainbow_agent.core.model import Refusal
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import REGISTRATION, add_job, news, offer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder with a job that ran, and one that was refused."""
    tmp_path.chmod(0o700)
    with closing(SqliteLedger.open(tmp_path / "ledger.sqlite")) as ledger:
        key = add_job(ledger, 1, "build", ("run", 2))
        ledger.apply([news(key, "build", TaskState.COMPLETED, flux_id=16, exit_code=0)])
        (other,) = ledger.record_offers(REGISTRATION.id, [offer(2, "caf\u00e9")], 1002.0)
        ledger.record_plans([], [Refusal(other, "no such thing")], 1003.0)
    return tmp_path


def export(folder: Path, *arguments: str) -> Result:
    given = ["history", "export", "--state-dir", str(folder), *arguments]
    return CliRunner().invoke(main, given, env={"RAINBOW_CLUSTER": "demo"})


def test_a_job_a_line(folder: Path) -> None:
    """As in `jobs -o json`, with its story and its jobspec; on standard output."""
    result = export(folder)
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines() if line[0] == "{")
    assert (first["id"], first["name"], len(first["tasks"])) == (1, "job", 3)
    assert first["jobspec"] == offer(1).jobspec
    assert first["story"][0]["now"] == "received"
    assert (second["name"], second["state"], second["reason"]) == (
        "caf\u00e9",
        "refused",
        "no such thing",
    )


def test_into_a_file(folder: Path) -> None:
    """The same lines; how many there were is said on standard error."""
    target = folder / "jobs.jsonl"
    result = export(folder, "--output", str(target))
    assert result.exit_code == 0, result.output
    assert "2 jobs" in result.stderr
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == [1, 2]


def test_more_than_are_read_at_once(folder: Path) -> None:
    """Each job once, the first received first."""
    number = JOBS_PER_READ + 7
    with closing(SqliteLedger.open(folder / "ledger.sqlite")) as ledger:
        rows = [offer(n) for n in range(3, number + 1)]
        ledger.record_offers(REGISTRATION.id, rows, 1004.0)
    lines = export(folder).stdout.splitlines()
    ids = [json.loads(line)["id"] for line in lines if line[0] == "{"]
    assert ids == [*range(1, number + 1)]


def test_no_agent_ever_ran(tmp_path: Path) -> None:
    """No jobs, and no error."""
    tmp_path.chmod(0o700)
    result = export(tmp_path)
    assert (result.exit_code, "0 jobs" in result.stderr) == (0, True)


def test_parquet_has_a_row_a_task(folder: Path) -> None:
    """With times as times; a job without tasks has one row."""
    parquet = pytest.importorskip("pyarrow.parquet")
    target = folder / "jobs.parquet"
    result = export(folder, "--format", "parquet", "--output", str(target))
    assert result.exit_code == 0, result.output
    rows = parquet.read_table(target).to_pylist()
    assert [(row["id"], row["task"], row["replica"]) for row in rows] == [
        (1, "build", 0),
        (1, "run", 0),
        (1, "run", 1),
        (2, None, None),
    ]
    assert rows[0]["flux_id"] == 16
    assert rows[0]["received"].timestamp() == 1001.0


def test_parquet_without_pyarrow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = export(folder, "--format", "parquet", "--output", str(folder / "x"))
    assert result.exit_code == 2
    assert "pip install pyarrow" in result.stderr


def test_parquet_is_not_for_a_terminal(folder: Path) -> None:
    """A file has to be named."""
    result = export(folder, "--format", "parquet")
    assert (result.exit_code, "--output" in result.stderr) == (2, True)
