"""The ledger's file: made, opened, migrated, read by others, damaged, full, locked."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Fatal, LedgerBlocked, LedgerDamaged, LedgerError, UsageError
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage import ledger_file
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.workload.local.server.folder import take_lock
from support.ledger import add_job, check_invariants, news, offer

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ledgers"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def used(path: Path) -> Path:
    """A ledger with two jobs, closed in order."""
    with closing(SqliteLedger.open(path)) as ledger:
        add_job(ledger, 1, "a", ("b", 3))
        key = add_job(ledger, 2, "a")
        ledger.apply([news(key, "a", TaskState.COMPLETED)])
    return path


@pytest.fixture
def running(used: Path) -> Iterator[SqliteLedger]:
    """A daemon's connection to the used ledger."""
    with closing(SqliteLedger.open(used)) as ledger:
        add_job(ledger, 3)
        yield ledger


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def schema(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Tables, columns, keys and indexes, whatever the text that made them."""
    with closing(sqlite3.connect(path)) as db:
        listed = db.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
        found = {"": sorted(listed)}
        for kind, name, _ in listed:
            pragmas = ["table_xinfo", "foreign_key_list"] if kind == "table" else ["index_xinfo"]
            for pragma in pragmas:
                found[f"{pragma} {name}"] = db.execute(f"PRAGMA {pragma}({name})").fetchall()
        return found


class TestMade:
    """A new ledger."""

    def test_only_its_owner_can_read_it(self, path: Path) -> None:
        """The folder and every file in it, whatever the umask; jobspecs are private."""
        umask = os.umask(0)
        try:
            with closing(SqliteLedger.open(path)) as ledger:
                add_job(ledger, 1)
                modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        finally:
            os.umask(umask)
        assert modes == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_a_commit_is_on_the_disk(self, path: Path) -> None:
        """WAL with synchronous FULL; references are checked."""
        with closing(SqliteLedger.open(path)) as ledger, ledger._connection.read() as db:
            values = [
                db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        assert values == ["wal", 2, 1]

    def test_many_may_make_it_at_once(self, path: Path) -> None:
        """Four openers of a ledger that does not exist: all succeed, and see one ledger."""
        barrier = threading.Barrier(4)
        failed: list[BaseException] = []

        def open_and_write(job_id: int) -> None:
            barrier.wait()
            try:
                with closing(SqliteLedger.open(path)) as ledger:
                    add_job(ledger, job_id)
            except Exception as exc:  # noqa: BLE001 - any error fails the test, in its own thread
                failed.append(exc)

        threads = [threading.Thread(target=open_and_write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        with closing(SqliteLedger.open(path)) as ledger:
            assert len(ledger.jobs()) == 4

    def test_a_crash_right_after_its_creation_is_no_damage(self, path: Path) -> None:
        """An empty file is a new ledger."""
        path.parent.mkdir()
        path.touch()
        with closing(SqliteLedger.open(path)) as ledger:
            assert ledger.jobs() == []

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        """The error has the path and the setting."""
        (tmp_path / "file").touch()
        with pytest.raises(LedgerDamaged, match=r"file/ledger.sqlite: .*RAINBOW_STATE_DIR"):
            SqliteLedger.open(tmp_path / "file" / "ledger.sqlite")


class TestMigrations:
    """Every version opens what every older one wrote."""

    @pytest.mark.parametrize("dump", sorted(FIXTURES.glob("v*.sql")), ids=lambda dump: dump.stem)
    def test_old_ledgers_open(self, dump: Path, tmp_path: Path) -> None:
        """The jobs are there, the rules hold, and work continues."""
        path = tmp_path / "ledger.sqlite"
        with closing(sqlite3.connect(path)) as db:
            db.executescript(dump.read_text(encoding="utf-8"))
        with closing(SqliteLedger.open(path)) as ledger:
            check_invariants(ledger)
            assert {job.state for job in ledger.jobs()} == set(JobState)
            current = ledger.current_registration()
            assert current is not None
            key = add_job(ledger, 99, "a", registration=current)
            ledger.apply([news(key, "a", TaskState.COMPLETED)])
            check_invariants(ledger)

    @pytest.mark.parametrize("dump", sorted(FIXTURES.glob("v*.sql")), ids=lambda dump: dump.stem)
    def test_a_migrated_schema_is_a_fresh_one(self, dump: Path, tmp_path: Path, path: Path) -> None:
        """Same tables, columns, keys and indexes by either way."""
        old = tmp_path / "old.sqlite"
        with closing(sqlite3.connect(old)) as db:
            db.executescript(dump.read_text(encoding="utf-8"))
        SqliteLedger.open(old).close()
        SqliteLedger.open(path).close()
        assert schema(old) == schema(path)

    def test_each_version_left_a_dump(self) -> None:
        """Who adds a migration adds a dump of what it makes."""
        numbers = [number for number, _ in ledger_file.scripts()]
        assert numbers == sorted(set(numbers))  # gaps are allowed
        assert numbers[-1] == ledger_file.newest_version()
        assert {dump.stem for dump in FIXTURES.glob("v*.sql")} == {f"v{n}" for n in numbers}

    def test_a_migration_that_fails_changes_nothing(self, used: Path) -> None:
        """Neither its first statement nor the version; the next start tries again."""
        before = schema(used)
        with closing(sqlite3.connect(used, isolation_level=None)) as db:
            with pytest.raises(sqlite3.OperationalError):
                ledger_file.migrate(db, 1, [(99, "CREATE TABLE extra (x); CREATE TABLE job (x);")])
            newest = ledger_file.newest_version()
            assert db.execute("PRAGMA user_version").fetchone() == (newest,)
        assert schema(used) == before

    def test_a_migration_runs_once(self, used: Path) -> None:
        """Scripts up to the ledger's version are passed over."""
        with closing(sqlite3.connect(used, isolation_level=None)) as db:
            ledger_file.migrate(db, 1, [(1, "not SQL"), (2, "CREATE TABLE extra (x);")])
            assert db.execute("PRAGMA user_version").fetchone() == (2,)
            ledger_file.migrate(db, 2, [(1, "not SQL"), (2, "CREATE TABLE extra (x);")])

    def test_a_newer_ledger_is_not_touched(self, used: Path) -> None:
        """Both versions are in the error, and what to install."""
        with closing(sqlite3.connect(used)) as db:
            db.execute("PRAGMA user_version = 99")
        before = used.read_bytes()
        for opened in (SqliteLedger.open, SqliteLedger.open_readonly):
            with pytest.raises(Fatal, match="version 99") as caught:
                opened(used)
            assert caught.value.exit_code == 42
        assert used.read_bytes() == before


class TestReadonly:
    """What status and jobs see."""

    def test_it_makes_no_files_beside_a_daemon_that_is_down(self, used: Path) -> None:
        """Also in a folder that cannot be written."""
        used.chmod(0o400)
        used.parent.chmod(0o500)
        try:
            with closing(SqliteLedger.open_readonly(used)) as ledger:
                assert len(ledger.jobs()) == 2
                assert names(used.parent) == {used.name}
            assert names(used.parent) == {used.name}
        finally:
            used.parent.chmod(0o700)

    def test_it_follows_a_daemon_that_runs(self, used: Path, running: SqliteLedger) -> None:
        """What is committed is seen at once; what is not, is not."""
        with closing(SqliteLedger.open_readonly(used)) as ledger:
            assert len(ledger.jobs()) == 3
            with running.transaction():
                add_job(running, 4)
                assert len(ledger.jobs()) == 3
            assert len(ledger.jobs()) == 4

    def test_it_reads_the_same_ledger(self, used: Path, running: SqliteLedger) -> None:
        """Every view answers as the daemon's own connection."""
        with closing(SqliteLedger.open_readonly(used)) as ledger:
            check_invariants(ledger)
            assert ledger.jobs() == running.jobs()
            assert ledger.current_registration() == running.current_registration()

    def test_it_cannot_write(self, used: Path, running: SqliteLedger) -> None:
        """Beside a daemon or without one."""
        with (
            closing(SqliteLedger.open_readonly(used)) as ledger,
            pytest.raises(LedgerDamaged, match="readonly"),
        ):
            ledger.put_note("fact", 1)
        running.close()
        with (
            closing(SqliteLedger.open_readonly(used)) as ledger,
            pytest.raises(LedgerDamaged, match="readonly"),
        ):
            ledger.put_note("fact", 1)

    def test_no_ledger_is_a_matter_of_settings(self, path: Path) -> None:
        """The error names the path and the setting, and nothing is made."""
        with pytest.raises(UsageError, match="RAINBOW_STATE_DIR"):
            SqliteLedger.open_readonly(path)
        assert not path.parent.exists()

    def test_an_unfinished_ledger_is_of_version_0(self, path: Path) -> None:
        """The agent has been killed before its first start was done."""
        path.parent.mkdir()
        path.touch()
        with pytest.raises(Fatal, match=r"version 0, .*start the agent"):
            SqliteLedger.open_readonly(path)


class TestTrouble:
    """What goes wrong is said with the path, in sqlite's words, and with the cure."""

    def test_a_file_that_is_no_database(self, path: Path) -> None:
        """It is left as it is."""
        path.parent.mkdir()
        path.write_text("registration: r1\n" * 100)
        for opened in (SqliteLedger.open, SqliteLedger.open_readonly):
            with pytest.raises(LedgerDamaged, match=r"not a database; .*\.recover") as caught:
                opened(path)
            assert str(path) in str(caught.value)
        assert path.read_text().startswith("registration: r1\n")

    def test_another_programs_database(self, path: Path) -> None:
        """No tables of ours are put beside theirs."""
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE clusters (name TEXT)")
        for opened in (SqliteLedger.open, SqliteLedger.open_readonly):
            with pytest.raises(LedgerDamaged, match="no ledger of rainbow-agent"):
                opened(path)
        assert len(schema(path)[""]) == 1

    def test_a_page_that_was_overwritten(self, used: Path) -> None:
        """Found when it is opened to write; a reader finds it when it reads."""
        content = bytearray(used.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        used.write_bytes(content)
        with pytest.raises(LedgerDamaged, match="recover"):
            SqliteLedger.open(used)
        with (
            pytest.raises(LedgerDamaged, match="malformed"),
            closing(SqliteLedger.open_readonly(used)) as ledger,
        ):
            ledger.jobs()

    def test_a_file_that_was_cut_off(self, used: Path) -> None:
        """Half a ledger is not taken for a whole one."""
        size = used.stat().st_size
        os.truncate(used, size // 2)
        with pytest.raises(LedgerDamaged, match=r"ledger.sqlite"):
            SqliteLedger.open(used)

    def test_a_disk_that_is_full(self, path: Path) -> None:
        """Nothing of the batch is written, what was there is; with more space work continues."""
        with closing(SqliteLedger.open(path)) as ledger:
            add_job(ledger, 1)
            with ledger._connection.read() as db:
                (pages,) = db.execute("PRAGMA page_count").fetchone()
                db.execute(f"PRAGMA max_page_count = {pages}")
            offers = [offer(n, "x" * 1000) for n in range(2, 100)]
            with pytest.raises(LedgerBlocked, match="full; free space"):
                ledger.record_offers("r1", offers, 1002.0)
            assert [job.key for job in ledger.jobs()] == [JobKey("r1", 1)]
            with ledger._connection.read() as db:
                db.execute("PRAGMA max_page_count = 100000")
            assert len(ledger.record_offers("r1", offers, 1003.0)) == len(offers)

    def test_a_transaction_that_sqlite_ended_stays_ended(self, path: Path) -> None:
        """As it may on a full disk: who catches the error cannot go on as if nothing was."""
        with closing(SqliteLedger.open(path)) as ledger:
            add_job(ledger, 1)
            with pytest.raises(LedgerDamaged):
                catch_and_go_on(ledger)
            assert ledger.note("before") is None
            assert ledger.note("after") is None

    def test_a_part_that_the_full_disk_ended_leaves_the_rest(self, path: Path) -> None:
        """Nothing of the part is there, and the transaction around it is whole or not at all."""
        with closing(SqliteLedger.open(path)) as ledger:
            add_job(ledger, 1)
            with ledger._connection.read() as db:
                (pages,) = db.execute("PRAGMA page_count").fetchone()
                db.execute(f"PRAGMA max_page_count = {pages}")
            with suppress(LedgerDamaged), ledger.transaction():
                ledger.put_note("before", 1)
                with pytest.raises(LedgerBlocked):
                    ledger.record_offers(
                        "r1", [offer(n, "x" * 1000) for n in range(2, 100)], 1002.0
                    )
                ledger.put_note("after", 1)
            assert ledger.note("before") == ledger.note("after")
            assert [job.key for job in ledger.jobs()] == [JobKey("r1", 1)]
            assert sum(ledger.counts().values()) == 1

    def test_a_lock_that_is_never_freed(self, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The wait ends, and the error says how to find who holds it."""
        monkeypatch.setattr(ledger_file, "BUSY_S", 0.05)
        with (
            closing(SqliteLedger.open(used)) as ledger,
            closing(sqlite3.connect(used, isolation_level=None)) as other,
        ):
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerBlocked, match=f"locked; .*fuser {used}"):
                ledger.put_note("fact", 1)

    def test_a_file_system_without_locks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """NFS without a lock daemon, some FUSE: one sentence that names the setting."""

        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", no_locks)
        with pytest.raises(UsageError, match=r"No locks available.*RAINBOW_STATE_DIR"):
            SqliteLedger.open(path)
        with pytest.raises(UsageError, match=r"No locks available.*RAINBOW_STATE_DIR"):
            take_lock(path.parent)

    def test_a_connection_belongs_to_its_thread(self, used: Path) -> None:
        """Another thread gets an error: a mistake in the program, not damage."""
        caught: list[BaseException] = []

        def use(ledger: SqliteLedger) -> None:
            try:
                ledger.counts()
            except sqlite3.ProgrammingError as exc:
                caught.append(exc)

        with closing(SqliteLedger.open(used)) as ledger:
            thread = threading.Thread(target=use, args=(ledger,))
            thread.start()
            thread.join()
        assert "thread" in str(caught[0])

    def test_closing_again_is_no_error(self, used: Path) -> None:
        """A shutdown may come twice."""
        ledger = SqliteLedger.open(used)
        ledger.close()
        ledger.close()


def catch_and_go_on(ledger: SqliteLedger) -> None:
    with ledger.transaction():
        ledger.put_note("before", 1)
        with suppress(LedgerError), ledger._connection.write() as db:
            db.execute("ROLLBACK")  # as sqlite does by itself
        ledger.put_note("after", 1)
