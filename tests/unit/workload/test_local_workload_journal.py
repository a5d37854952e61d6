"""The local workload manager's journal: on disk, read back after a crash, cut into lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import Fatal, Rejected
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.local.server.journal_log import JournalLog
from rainbow_agent.workload.local.server.machine import Machine
from rainbow_agent.workload.local.server.orphans import ProcessMark, boot_id
from rainbow_agent.workload.local.server.protocol import (
    LINE_LIMIT,
    LineSplitter,
    decode,
    encode,
    entry_event,
    event_entry,
)
from rainbow_agent.workload.local.server.recovery import recover
from rainbow_agent.workload.local.server.supervisor import restore
from support.local_workload import make_jobspec

HEADER = {"header": 1, "instance": "one"}
MARK = ProcessMark(4_000_000, 1, boot_id())  # above any pid that Linux gives

times = st.floats(min_value=0, max_value=4e9, allow_nan=False)
ids = st.integers(min_value=1, max_value=2**63 - 1)
keys = st.builds(TaskKey, st.builds(JobKey, st.text(), ids), st.text(), st.integers(0, 9999))
events = st.one_of(
    st.builds(WorkloadEvent, st.just(EventKind.SUBMIT), ids, times, key=st.none() | keys),
    st.builds(WorkloadEvent, st.just(EventKind.FINISH), ids, times, status=st.integers(0, 65535)),
    st.builds(
        WorkloadEvent,
        st.just(EventKind.EXCEPTION),
        ids,
        times,
        exception=st.text(),
        severity=st.integers(0, 7),
        note=st.text(),
    ),
    st.builds(WorkloadEvent, st.sampled_from([EventKind.START, EventKind.CLEAN]), ids, times),
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalLog]:
    """An empty journal."""
    log = JournalLog.open(tmp_path / "journal.jsonl")
    yield log
    log.close()


def entries_of(job: int, *kinds: EventKind, jobspec: Any = None, **fields: Any) -> list[Any]:
    """Journal entries of one job."""
    jobspec = jobspec or make_jobspec(["true"])
    told = [event_entry(WorkloadEvent(kind, job, 1.0, **fields)) for kind in kinds]
    return [{"jobspec": jobspec, "id": job}, *told]


@given(events)
def test_events_survive_the_journal(event: WorkloadEvent) -> None:
    """What is written of an event is what is read back."""
    assert entry_event(decode(encode(event_entry(event)).rstrip(b"\n"))) == event


@given(st.lists(st.binary().map(lambda b: b.replace(b"\n", b""))), st.data())
def test_lines_come_out_however_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    """The pieces in which a stream arrives make no difference."""
    stream = b"".join(line + b"\n" for line in lines)
    splitter, seen = LineSplitter(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        seen += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert seen == lines


def test_a_line_without_an_end_is_refused() -> None:
    """A stream that never ends its line does not fill the memory."""
    splitter = LineSplitter()
    splitter.feed(b"x" * LINE_LIMIT)
    with pytest.raises(Rejected, match="longer than"):
        splitter.feed(b"x")


@pytest.mark.parametrize("message", [{"a": float("nan")}, {"a": object()}, {"a": "x" * LINE_LIMIT}])
def test_what_cannot_be_sent_is_refused_before_it_is(message: dict[str, Any]) -> None:
    """NaN, things that are not JSON, and what is too long."""
    with pytest.raises(Rejected):
        encode(message)


def test_only_what_is_committed_is_shown(journal: JournalLog) -> None:
    """Readers see events, and none before it is on disk; the server's own lines never."""
    journal.append(HEADER)
    journal.append({"event": "start", "id": 1})
    journal.write()
    assert journal.read(0) == (b"", 0)
    assert journal.dirty
    journal.commit()
    shown, offset = journal.read(0)
    assert shown == b'{"event":"start","id":1}\n'
    assert not journal.dirty
    assert journal.read(offset) == (b"", offset)


def test_lines_longer_than_a_read_are_passed_over(journal: JournalLog) -> None:
    """A jobspec of a megabyte does not keep the events behind it from being read."""
    journal.append({"jobspec": "x" * 1_000_000, "id": 1})
    journal.append({"event": "submit", "id": 1})
    journal.commit()
    shown, offset = b"", 0
    while offset < journal.committed:
        part, offset = journal.read(offset)
        shown += part
    assert shown == b'{"event":"submit","id":1}\n'


@pytest.mark.parametrize("torn", [b'{"event":"fin', b"\0" * 600_000])
def test_a_half_written_end_is_dropped(tmp_path: Path, torn: bytes) -> None:
    """What a power failure leaves behind the last whole line goes, and writing continues."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(HEADER) + torn)
    journal = JournalLog.open(path)
    journal.append({"event": "start", "id": 1})
    journal.commit()
    assert list(journal.entries()) == [HEADER, {"event": "start", "id": 1}]
    journal.close()


def test_damage_in_the_middle_is_said_with_its_line(tmp_path: Path) -> None:
    """A line that cannot be read is never skipped: a job could run twice."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(HEADER) + b"garbage\n" + encode({"event": "start", "id": 1}))
    journal = JournalLog.open(path)
    with pytest.raises(Fatal, match="line 2"):
        list(journal.entries())
    journal.close()


def test_each_job_is_taken_up_where_it_was() -> None:
    """Jobs that never started wait again, those that ran are interrupted, the others ended."""
    failed = entries_of(1, EventKind.SUBMIT, EventKind.START)
    failed += entries_of(1, EventKind.FINISH, EventKind.CLEAN, status=256)[1:]
    well = entries_of(2, EventKind.SUBMIT, EventKind.START)
    well += entries_of(2, EventKind.FINISH, EventKind.CLEAN, status=0)[1:]
    ran = [*entries_of(3, EventKind.SUBMIT, EventKind.START), MARK.to_entry(3)]
    waits = entries_of(4, EventKind.SUBMIT)
    half = entries_of(5)  # its submit event never reached the disk, and no client saw it
    past = recover([HEADER, *failed, *well, *ran, *waits, *half])
    assert past.instance == "one"
    assert past.ended_ok == {1: False, 2: True}
    assert [job.id for job in past.interrupted] == [3]
    assert past.interrupted[0].processes == (MARK,)
    assert [job for job, _ in past.pending] == [4]
    assert past.last_id == 5


def test_a_journal_of_another_format_is_not_touched() -> None:
    """A newer program's journal is refused with what to do."""
    with pytest.raises(Fatal, match="format 2"):
        recover([{"header": 2, "instance": "x"}])


def restored(path: Path, entries: list[Any]) -> tuple[list[str], list[int]]:
    """What a server adds to a journal when it starts on it, and which jobs it then starts."""
    path.write_bytes(b"".join(encode(entry) for entry in entries))
    journal = JournalLog.open(path)
    try:
        state = restore(Machine("here", 4), journal, 9.0)
        new = list(journal.entries())[len(entries) :]
        told = [f"{e['id']} {e.get('type', e.get('event'))}" for e in new if "event" in e]
        return told, [job.id for job in state.table.start_ready(9.0)[0]]
    finally:
        journal.close()


def test_what_ran_is_reported_once_and_its_dependents_are_told(tmp_path: Path) -> None:
    """The interrupted job fails, who waited for it never runs, and the others run."""
    after = make_jobspec(["true"], dependencies=[{"scheme": "afterok", "value": "1"}])
    entries = [HEADER, *entries_of(1, EventKind.SUBMIT, EventKind.START)]
    entries += entries_of(2, EventKind.SUBMIT, jobspec=after)
    entries += entries_of(3, EventKind.SUBMIT)
    told, starts = restored(tmp_path / "j", entries)
    assert told == ["1 exec", "1 clean", "2 dependency", "2 clean"]
    assert starts == [3]


def test_a_second_restart_adds_nothing(tmp_path: Path) -> None:
    """A server that starts over twice reports an interrupted job once."""
    path = tmp_path / "j"
    restored(path, [HEADER, *entries_of(1, EventKind.SUBMIT, EventKind.START)])
    journal = JournalLog.open(path)
    entries = list(journal.entries())
    journal.close()
    assert restored(path, entries) == ([], [])


def test_a_job_whose_last_line_was_torn_off_keeps_its_status(tmp_path: Path) -> None:
    """A finish without its clean gets the clean, and is no failure."""
    entries = [HEADER, *entries_of(1, EventKind.SUBMIT, EventKind.START)]
    entries += entries_of(1, EventKind.FINISH, status=0)[1:]
    after = make_jobspec(["true"], dependencies=[{"scheme": "afterok", "value": "1"}])
    entries += entries_of(2, EventKind.SUBMIT, jobspec=after)
    assert restored(tmp_path / "j", entries) == (["1 clean"], [2])


def test_a_job_that_was_being_canceled_gets_no_second_exception(tmp_path: Path) -> None:
    """Its exception is in the journal; only its end is missing."""
    entries = [HEADER, *entries_of(1, EventKind.SUBMIT, EventKind.START)]
    entries += entries_of(1, EventKind.EXCEPTION, exception="cancel")[1:]
    assert restored(tmp_path / "j", entries) == (["1 clean"], [])


def test_a_process_of_another_boot_is_not_ours() -> None:
    """A pid alone says nothing: start time and boot must match too."""
    assert not MARK.lives()
    assert not ProcessMark(1, 0, "another boot").lives()
