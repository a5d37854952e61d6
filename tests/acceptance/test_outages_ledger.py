"""The ledger is damaged: put aside and rebuilt, timed (docs/reliability.md)."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from support.common import eventually
from support.fleet import jobspec, task
from support.outages import Timer, is_up
from support.servers import SchedulerKind
from support.site import missing_parts, running_site
from support.tiers import sample


def damage(path: Path, how: str) -> None:
    """Make a ledger that was closed in order one that is none."""
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "header":
        path.write_bytes(b"garbage" + bytes(data[7:]))
    else:  # the pages after the first two
        for place in range(8192, len(data), 97):
            data[place] ^= 0xFF
        path.write_bytes(bytes(data))


@pytest.mark.parametrize("flux", [False, pytest.param(True, marks=pytest.mark.flux)])
@pytest.mark.parametrize(
    "how", sample(["truncated", "header", "flipped", "gone"], quick=["truncated"])
)
def test_a_damaged_ledger(how: str, tmp_path: Path, timer: Timer, *, flux: bool) -> None:
    """It is kept aside under a name with the time, and rebuilt; nothing runs a second time."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path, flux=flux) as site:
        ledger = site.program.state_dir / "ledger.sqlite"
        with site.program.background("start") as agent:
            is_up(agent, site)
            chain = [
                task(site.writes("one"), "one"),
                task(site.writes("two"), "two", depends_on=["one"], replicas=2),
            ]
            site.fleet.send(jobspec(*chain, name="told"))
            site.program.await_end(1)
            eventually(lambda: not site.unreported(), "rainbow has the reports")
            assert agent.stop() == 0
        before = site.program.rows()
        # One that was not accepted: in Flux, and still on rainbow's list.
        site.fleet.send(jobspec(task(site.writes("three"), "three"), name="untold"))
        armed = {"test_crash": "recorded", "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if how == "gone":
            for end in ("", "-wal", "-shm"):
                Path(f"{ledger}{end}").unlink(missing_ok=True)
        else:
            damage(ledger, how)
        with site.program.background("start") as agent:
            with timer(f"ledger {how}", "flux" if flux else "local", "rebuilt, the rest run"):
                agent.says("Caught up")
                eventually(lambda: len(site.program.rows()) == 2, "both jobs are back")
                site.program.await_end(2)
                eventually(lambda: not site.fleet.waiting(), "rainbow has the reports")
            aside = list(site.program.state_dir.glob("ledger.sqlite.damaged-*Z"))
            assert len(aside) == (0 if how == "gone" else 1)
            if aside:
                assert str(aside[0]) in agent.log()
            assert agent.stop() == 0, agent.log()
        rows = {row.name: row for row in site.program.rows()}
        assert set(rows) == {"told", "untold"}
        assert {row.state for row in rows.values()} == {JobState.COMPLETED}
        again = {t.key: (t.state, t.depends_on, t.flux_id) for t in rows["told"].tasks}
        assert again == {t.key: (t.state, t.depends_on, t.flux_id) for t in before[0].tasks}
        assert sorted(site.written()) == ["one", "three", "two", "two"]
