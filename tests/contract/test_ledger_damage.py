"""A ledger that is cut off or flipped anywhere: as it was, or put aside, and nothing invented."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rainbow_agent.core.errors import LedgerCorrupt, LedgerDamaged
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rebuild import REBUILD
from rainbow_agent.storage.ledger_repair import open_or_replace, save_if_removed
from rainbow_agent.storage.ledger_watch import LedgerWatch
from support.ledger import add_job, check_invariants

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ledgers"
SEED = 20261125


class Facts(NamedTuple):
    """What a ledger says: what decides what is run, and what people read."""

    jobs: dict[Any, Any]
    tasks: dict[Any, Any]
    jobspecs: dict[Any, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Facts]:
    """A ledger with jobs in every state, as bytes, and what it says."""
    path = tmp_path_factory.mktemp("whole") / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((FIXTURES / "v60.sql").read_text(encoding="utf-8"))
    with closing(SqliteLedger.open(path)) as ledger:
        current = ledger.current_registration()
        assert current is not None
        for number in range(100, 130):
            add_job(ledger, number, "a", ("b", 3), registration=current)
        facts = read(ledger)
    return path.read_bytes(), facts


def read(ledger: SqliteLedger) -> Facts:
    """Everything that any verb or loop reads."""
    rows = ledger.jobs()
    keys = [row.key for row in rows]
    for key in keys:
        ledger.story(key)
        ledger.reports_of(key)
        ledger.cancellation_of(key)
    ledger.counts()
    ledger.current_registration()
    ledger.cancellations()
    ledger.unplanned()
    ledger.ended_badly(100)
    ledger.tasks_in(set(TaskState))
    ledger.note("published")
    for registration in ledger.registrations():
        ledger.unaccepted(registration)
    return Facts(
        {row.key: (row.name, row.state) for row in rows},
        {t.key: (t.state, t.depends_on, t.kind) for row in rows for t in row.tasks},
        ledger.jobspecs(keys),
    )


def expect_whole_or_aside(folder: Path, data: bytes, facts: Facts, what: str) -> bool:
    """Open it as the daemon does; whether it was put aside.

    Raises:
        AssertionError: it says something that it never said.
    """
    path = folder / "ledger.sqlite"
    path.write_bytes(data)
    with closing(open_or_replace(path, registered=True, at=1.0)) as ledger:
        aside = list(folder.glob("ledger.sqlite.damaged-*Z*"))
        found = read(ledger)
        assert ledger.damage() == "", what
        if aside:
            assert len(aside) == 1, what
            assert aside[0].read_bytes() == data, what
            assert found == Facts({}, {}, {}), what
            assert ledger.note(REBUILD)["aside"] == str(aside[0]), what
        else:
            assert found == facts, what
        number = len(found.jobs)
        add_job(ledger, 900, "a")
        assert len(ledger.jobs()) == number + 1, what
    return bool(aside)


def clean(folder: Path) -> None:
    for each in folder.iterdir():
        each.unlink()


@pytest.mark.full
def test_cut_off_anywhere(tmp_path: Path, whole: tuple[bytes, Facts]) -> None:
    """At every page, around the first one byte by byte, and at seeded places in between."""
    data, facts = whole
    rng = random.Random(SEED)
    places = {1, 15, 16, 99, 100, 101, len(data) - 1, *range(4096, len(data), 4096)}
    places |= {rng.randrange(len(data)) for _ in range(60)}
    asides = 0
    for size in sorted(places):
        asides += expect_whole_or_aside(tmp_path, data[:size], facts, f"cut off at {size}")
        clean(tmp_path)
    assert asides > 0.9 * len(places), "some cut off nothing but the free end of the last page"


def test_nothing_left_of_it(tmp_path: Path, whole: tuple[bytes, Facts]) -> None:
    """An empty file of a cluster that is registered was a ledger; of another it is a new one."""
    path = tmp_path / "ledger.sqlite"
    assert expect_whole_or_aside(tmp_path, b"", whole[1], "emptied")
    clean(tmp_path)
    path.touch()
    with closing(open_or_replace(path, registered=False, at=1.0)) as ledger:
        assert ledger.jobs() == []
        assert ledger.note(REBUILD) is None
        check_invariants(ledger)


def flips(data: bytes) -> Iterator[tuple[str, bytes]]:
    """One bit, one byte, a block of zeros, a block of another page, at seeded places."""
    rng = random.Random(SEED)
    for _ in range(220):
        changed, place = bytearray(data), rng.randrange(len(data))
        changed[place] ^= 1 << rng.randrange(8)
        yield f"one bit at {place}", bytes(changed)
    for _ in range(60):
        changed, place = bytearray(data), rng.randrange(len(data))
        changed[place] = (changed[place] + rng.randrange(1, 256)) % 256
        yield f"one byte at {place}", bytes(changed)
    for _ in range(30):
        changed, place = bytearray(data), rng.randrange(len(data) // 512) * 512
        changed[place : place + 512] = bytes(512)
        yield f"a block of zeros at {place}", bytes(changed)
    for _ in range(30):
        changed = bytearray(data)
        place, other = (rng.randrange(len(data) // 4096) * 4096 for _ in range(2))
        changed[place : place + 4096] = data[other : other + 4096]
        yield f"the page at {other} once more at {place}", bytes(changed)


@pytest.mark.full
def test_flipped_anywhere(tmp_path: Path, whole: tuple[bytes, Facts]) -> None:
    """Jobs, states, tasks, their order and their jobspecs are as they were, or none is there."""
    data, facts = whole
    asides = 0
    for what, changed in flips(data):
        asides += expect_whole_or_aside(tmp_path, changed, facts, what)
        clean(tmp_path)
    assert asides > 80  # the others met what is empty


def test_a_log_that_is_damaged(tmp_path: Path) -> None:
    """What was not in the file yet: all up to some moment is there, or it is put aside."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger.open(path)
    seen = [read(ledger)]
    for number in range(12):
        add_job(ledger, number + 1, "a", "b")
        seen.append(read(ledger))
    file, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    ledger.close()
    clean(tmp_path)
    rng = random.Random(SEED)
    kept = 0
    for _ in range(80):
        changed, place = bytearray(log), rng.randrange(len(log))
        if rng.random() < 0.5:
            changed = changed[:place]
        else:
            changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(file)
        Path(f"{path}-wal").write_bytes(changed)
        with closing(open_or_replace(path, registered=True, at=1.0)) as again:
            found = read(again)
            assert again.damage() == ""
        if list(tmp_path.glob("*damaged*")):
            assert found == Facts({}, {}, {})
        else:
            assert len(found.jobs) <= 12
            assert all(found.jobspecs[key] == seen[-1].jobspecs[key] for key in found.jobs), (
                "nothing that was not written"
            )
            kept += bool(found.jobs)
        clean(tmp_path)
    assert kept > 20


class TestWatched:
    """While it is in use."""

    def test_it_may_grow(self, tmp_path: Path) -> None:
        """That is what it does."""
        path = tmp_path / "ledger.sqlite"
        with closing(SqliteLedger.open(path)) as ledger:
            watch = LedgerWatch(path)
            for number in range(200):
                add_job(ledger, number + 1)
            watch.look()
        watch.look()

    @pytest.mark.parametrize("cut", [1, 2 * 4096], ids=["within a page", "pages"])
    def test_it_never_shrinks(self, tmp_path: Path, cut: int) -> None:
        """Somebody cut it off: it is put aside."""
        path = tmp_path / "ledger.sqlite"
        with closing(SqliteLedger.open(path)) as ledger:
            for number in range(50):
                add_job(ledger, number + 1, "a")
        ledger = SqliteLedger.open(path)
        watch = LedgerWatch(path)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(size - cut)
        with pytest.raises(LedgerDamaged, match=f"from {size} to {size - cut} bytes") as caught:
            watch.look()
        ledger.close()
        with closing(open_or_replace(path, registered=True, at=1.0, broken=caught.value)) as again:
            assert again.note(REBUILD)["aside"]

    def test_a_vacuum_is_no_damage(self, tmp_path: Path) -> None:
        """It makes the file shorter: the ledger is looked through, and is what it was."""
        path = tmp_path / "ledger.sqlite"
        with closing(SqliteLedger.open(path)) as ledger:
            key = add_job(ledger, 1, "a")
            ledger.put_note("large", "x" * 500_000)
            ledger.put_note("large", "")
        ledger = SqliteLedger.open(path)
        watch = LedgerWatch(path)
        with closing(sqlite3.connect(path)) as db:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with pytest.raises(LedgerDamaged, match="shorter") as caught:
            watch.look()
        ledger.close()
        with closing(open_or_replace(path, registered=True, at=1.0, broken=caught.value)) as again:
            assert [row.key for row in again.jobs()] == [key]
            assert again.note(REBUILD) is None

    def test_another_file_in_its_place(self, tmp_path: Path) -> None:
        """It is opened anew, and not taken for damage."""
        path = tmp_path / "ledger.sqlite"
        SqliteLedger.open(path).close()
        watch = LedgerWatch(path)
        other = tmp_path / "other"
        other.write_bytes(path.read_bytes())
        other.rename(path)
        with pytest.raises(LedgerDamaged, match="another file") as caught:
            watch.look()
        assert not isinstance(caught.value, LedgerCorrupt)

    def test_a_removed_one_is_saved(self, tmp_path: Path) -> None:
        """With all that was in it, also in its log; a second look finds nothing wrong."""
        path = tmp_path / "ledger.sqlite"
        ledger = SqliteLedger.open(path)
        key = add_job(ledger, 1, "a")
        watch = LedgerWatch(path)
        path.unlink()
        with pytest.raises(LedgerDamaged, match="was removed"):
            watch.look()
        save_if_removed(ledger, path)
        with closing(open_or_replace(path, registered=True, at=1.0)) as again:
            assert [row.key for row in again.jobs()] == [key]
            assert again.jobs()[0].state is JobState.RECEIVED
            assert again.note(REBUILD) is None
        assert path.stat().st_mode & 0o777 == 0o600
        assert sorted(each.name for each in tmp_path.iterdir()) == ["ledger.sqlite"]


def test_a_changed_jobspec_is_not_run(tmp_path: Path) -> None:
    """One letter of it, in a page that sqlite calls whole: it is damage, at the start and later."""
    path = tmp_path / "ledger.sqlite"
    with closing(SqliteLedger.open(path)) as ledger:
        key = add_job(ledger, 1)
        (text,) = ledger.jobspecs([key]).values()
    data = path.read_bytes()
    assert data.count(text.encode()) == 1
    path.write_bytes(data.replace(text.encode(), text.encode().swapcase()))
    with closing(SqliteLedger.open(path)) as ledger:
        assert ledger.damage() == ""
        with pytest.raises(LedgerCorrupt, match="not the one that was received"):
            ledger.jobspecs([key])
    with closing(open_or_replace(path, registered=True, at=1.0)) as ledger:
        assert ledger.jobs() == []


@pytest.mark.parametrize("added", ["ANALYZE", "CREATE INDEX mine ON job (name)", "VACUUM"])
def test_what_an_operator_does_to_it_is_no_damage(tmp_path: Path, added: str) -> None:
    """Statistics and an index of his own are beside what should be there."""
    path = tmp_path / "ledger.sqlite"
    with closing(open_or_replace(path, registered=False, at=1.0)) as ledger:
        key = add_job(ledger, 1, "a")
    with closing(sqlite3.connect(path)) as db:
        db.execute(added)
    with closing(open_or_replace(path, registered=True, at=2.0)) as ledger:
        assert ledger.note(REBUILD) is None
        assert [row.key for row in ledger.jobs()] == [key]
