"""What a sender believes: authentic, of the right cluster and registration, and the newest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.model import Listing
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages import sender as module
from rainbow_agent.fleet.messages.answers import seal_answer
from rainbow_agent.fleet.messages.carrier import Box
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH
from rainbow_agent.fleet.messages.inboxes import create_inbox, inbox_name
from rainbow_agent.fleet.messages.keys import has_signature, mac
from rainbow_agent.fleet.messages.sender_files import (
    InboxAccess,
    load_inbox,
    save_inbox,
    sender_keys,
)
from rainbow_agent.jobspec.handle import find
from rainbow_agent.jobspec.wire import to_wire
from support.common import FakeClock, open_files
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.senders import CLUSTER, KEYS, make_handle, make_job, make_sender, state_part

RUNNING = replace(make_job(), state=JobState.RUNNING, finished=None)


class World:
    """A sender, their inbox in a rainbow, and one job that was sent to CLUSTER."""

    def __init__(self, folder: Path, *, boxes: bool, keep: float = float("inf")) -> None:
        self.rainbow = FakeScheduler()
        self.rainbow.boxes = {} if boxes else None
        given = self.rainbow.register("inbox-alice", REGISTRATION_SECRET, INBOX_GRAPH)
        inbox = InboxAccess("inbox-alice", "rainbow:1", given.secret, given.token)
        self.sender = make_sender(folder, inbox, keep)
        document = {"version": 1, "tasks": []}
        self.id, prepared = self.sender.prepare(document, "job", KEYS.public(), 60.0)
        handle = find(to_wire(prepared))
        assert handle is not None
        self.handle = handle
        self.sender.store.assigned(self.id, CLUSTER)

    def put(self, *parts: rows.Part, by: str = CLUSTER, to: str = "inbox-alice") -> None:
        """A message in the inbox."""
        self.rainbow.post("inbox-alice", rows.Message(to, by, parts))

    def take(self) -> int:
        """Take what is there; how much was news. Nothing is left."""
        news = self.sender.take(self.rainbow).news
        assert self.rainbow.waiting("inbox-alice") == []
        return news

    @property
    def state(self) -> JobState | None:
        """What the sender knows."""
        sent = self.sender.store.job(self.id)
        return sent.job.state if sent and sent.job else None


@pytest.fixture(params=[False, True], ids=["rows", "boxes"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, boxes=request.param)
    yield found
    found.sender.store.close()


def test_what_the_cluster_tells_is_known_from_then_on(world: World) -> None:
    """The job as it is there; the row is gone from rainbow only when it is stored."""
    world.put(state_part(world.handle, make_job(), 5))
    assert world.take() == 1
    sent = world.sender.store.job(world.id)
    assert sent is not None
    assert (sent.job, sent.cluster, sent.turn) == (make_job(), CLUSTER, 5)
    assert world.sender.store.cluster_heard(CLUSTER) == sent.heard


def test_doubled_late_and_reordered_messages_change_nothing(world: World) -> None:
    """The newest turn counts, in whatever order they come."""
    world.put(state_part(world.handle, make_job(), 9))
    world.put(state_part(world.handle, RUNNING, 5))
    world.put(state_part(world.handle, make_job(), 9))
    assert world.take() == 1
    world.put(state_part(world.handle, RUNNING, 9))
    assert world.take() == 0
    assert world.state is JobState.COMPLETED


@pytest.mark.parametrize("nonce", [bytes(32), b"", make_handle(77).nonce])
def test_a_forged_message_changes_nothing(world: World, nonce: bytes) -> None:
    """Who does not know the job's nonce tells nothing of it."""
    world.put(state_part(world.handle, make_job(), 5, nonce=nonce))
    assert world.take() == 0
    assert world.state is None


def test_a_message_of_another_cluster_changes_nothing(world: World) -> None:
    """Also with the nonce: the job was assigned to this one."""
    world.put(state_part(world.handle, make_job(), 5, by="green"), by="green")
    world.put(state_part(world.handle, make_job(), 5, by="green"))  # said to be of the right one
    world.put(state_part(world.handle, make_job(), 5), by="green")
    assert world.take() == 0
    assert world.state is None


def test_a_message_for_another_inbox_changes_nothing(world: World) -> None:
    """A row that somebody copied from there."""
    other = replace(world.handle, inbox="inbox-bob")
    world.put(state_part(other, make_job(), 5), to="inbox-bob")
    world.put(state_part(other, make_job(), 5))
    assert world.take() == 0


def test_a_message_of_another_registration_changes_nothing(world: World) -> None:
    """A job is one job: what was told first says which."""
    world.put(state_part(world.handle, RUNNING, 5))
    world.put(state_part(world.handle, make_job(registration="other"), 6))
    world.put(state_part(world.handle, make_job(number=8), 7))
    assert world.take() == 1
    assert world.state is JobState.RUNNING


def test_an_unknown_handle_and_a_broken_body_change_nothing(world: World) -> None:
    """Rows that belong to a folder that is gone, or to an agent of another version."""
    broken = rows.Part(rows.Kind.STATE, world.id, b"x", b"y")
    world.put(state_part(make_handle(99), make_job(), 5), broken)
    assert world.take() == 0


def answer_part(world: World, counter: int, *, nonce: bytes | None = None) -> rows.Part:
    body = seal_answer(world.handle, counter, 50, rows.pack({"text": "hello"}))
    signed = rows.signed("inbox-alice", CLUSTER, rows.Kind.ANSWER, world.id, body)
    proof = mac(world.handle.nonce if nonce is None else nonce, signed)
    return rows.Part(rows.Kind.ANSWER, world.id, body, proof)


def test_an_answer_is_read_once_by_whoever_asked(world: World) -> None:
    """One that was not asked for, or is not the cluster's, is none."""
    world.put(answer_part(world, 5), answer_part(world, 6, nonce=bytes(32)))
    world.put(answer_part(world, 7), by="green")
    assert world.take() == 1
    assert [world.sender.answer(KEYS, world.id, n) for n in (4, 6, 7)] == [None] * 3
    assert world.sender.answer(KEYS, world.id, 5) == {"text": "hello"}
    assert world.sender.answer(KEYS, world.id, 5) is None


def test_what_is_asked_is_signed_and_counted(world: World) -> None:
    """Each time with a higher counter, and known by it."""
    given = world.rainbow.register(CLUSTER, REGISTRATION_SECRET, "{}")
    sent = world.sender.store.job(world.id)
    assert sent is not None
    counters = [
        world.sender.ask(world.rainbow, KEYS, sent, given.token, {"ask": "state"}, lasting=9)
        for _ in range(2)
    ]
    assert counters[0] < counters[1]
    asked = []
    for message in world.rainbow.posted(CLUSTER):
        (part,) = message.parts
        signed = rows.signed(CLUSTER, "inbox-alice", part.kind, world.id, part.body)
        assert has_signature(KEYS.public().verify, signed, part.proof)
        asked.append(rows.unpack(part.body)["counter"])
    assert asked == counters


def test_a_folder_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its file gets what is missing, and keeps what is there; a newer one is refused."""
    sender = make_sender(tmp_path)
    sender.store.add("rb-aaaaaaaaaaaaaaaa", "job", "h:1", b"n", 1.0)
    sender.store.close()
    path = tmp_path / "sent.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE answer; DROP TABLE cluster; DROP TABLE looked; PRAGMA user_version = 1;"
            "CREATE TABLE cluster (name TEXT PRIMARY KEY, heard REAL NOT NULL) WITHOUT ROWID"
        )
    again = make_sender(tmp_path)
    again.store.put_answer("rb-aaaaaaaaaaaaaaaa", 1, b"x", 1.0)
    assert [job.name for job in again.store.jobs()] == ["job"]
    again.store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(RainbowAgentError, match="newer"):
        make_sender(tmp_path)
    assert path not in open_files(), "what cannot be used is not left open"


def test_a_cluster_that_told_much_hears_that_it_was_taken(world: World) -> None:
    """Once, unless it has stopped: then until it says that it knows; each question says it, too."""
    clock = world.sender._clock
    assert isinstance(clock, FakeClock)
    given = world.rainbow.register(CLUSTER, REGISTRATION_SECRET, "{}")

    def said() -> bool:
        clock.advance(module.SAY_TAKEN_S + 1)
        for job in world.sender.unread():
            world.sender.ask(world.rainbow, KEYS, job, given.token, {"ask": "taken"}, lasting=9)
            return True
        return False

    for turn, unread, once, again in (
        (5, module.SAY_TAKEN_ROWS - 1, False, False),
        (6, module.SAY_TAKEN_ROWS, True, False),
        (7, rows.MAX_UNREAD, True, True),
        (2, module.SAY_TAKEN_ROWS, True, False),  # its clock was set back
        (8, 1, False, False),
    ):
        world.put(state_part(world.handle, make_job(), turn, unread=unread))
        world.put(state_part(world.handle, make_job(), turn, nonce=bytes(32), unread=99))
        world.take()
        assert (said(), said()) == (once, again)
    world.put(answer_part(world, 5))
    world.take()
    assert world.sender.store.taken(CLUSTER) == 50
    messages = world.rainbow.posted(CLUSTER)
    assert [rows.unpack(message.parts[0].body)["taken"] for message in messages] == [6, 7, 7, 7]


def test_all_is_taken_where_rainbow_lists_a_part_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into one reply comes with the next."""
    for turn in range(5):
        world.put(state_part(world.handle, make_job(), turn + 1))
    receive, messages = world.rainbow.receive, world.rainbow.messages

    def some(cluster: str, secret: str, max_jobs: int) -> Listing:
        listing = receive(cluster, secret, max_jobs or 2)
        return Listing(listing, whole=len(listing) < 2)

    def some_messages(cluster: str, secret: str, wait: float = 0.0) -> Box | None:
        box = messages(cluster, secret, wait)
        return box and Box(box.messages[:2], whole=len(box.messages) <= 2)

    monkeypatch.setattr(world.rainbow, "receive", some)
    monkeypatch.setattr(world.rainbow, "messages", some_messages)
    assert world.sender.take(world.rainbow).news == 5
    assert world.rainbow.waiting("inbox-alice") == []


def test_a_job_that_was_sent_to_the_inbox_is_named(world: World) -> None:
    """It runs nowhere, and that is not kept from anybody."""
    world.rainbow.put("inbox-alice", "version: 1", "stray")
    assert world.sender.take(world.rainbow).jobs == ("stray",)


def test_the_cluster_of_a_job_whose_submission_was_not_answered_tells_who_it_is(
    world: World,
) -> None:
    """It was assigned all the same."""
    document = {"version": 1}
    lost, prepared = world.sender.prepare(document, "lost", KEYS.public(), 60.0)
    handle = find(to_wire(prepared))
    assert handle is not None
    world.put(state_part(handle, RUNNING, 5, by="green"), by="green")
    assert world.take() == 1
    found = world.sender.store.job(lost)
    assert found is not None
    assert found.cluster == "green"
    assert [job.handle for job in world.sender.store.jobs()] == [world.id, lost]
    assert [job.handle for job in world.sender.store.jobs(1)] == [lost]


def test_an_inboxs_file_is_private_and_comes_back(tmp_path: Path) -> None:
    """And it is never written over: rainbow gives its secret once."""
    path, rainbow = tmp_path / "deep" / "inbox.yaml", FakeScheduler()
    assert load_inbox(path) is None
    made = create_inbox(
        rainbow, inbox_name("alice"), host="h:1", secret=REGISTRATION_SECRET, path=path
    )
    assert made.name == "inbox-alice"
    assert load_inbox(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="there is an inbox's file already"):
        create_inbox(rainbow, "inbox-bob", host="h:1", secret=REGISTRATION_SECRET, path=path)
    assert not rainbow.has_graph("inbox-bob")


@pytest.mark.parametrize("text", ["", "inbox: 5", "{", "inbox: {name: blue, host: h, secret: s}"])
def test_a_file_that_is_no_inboxs_says_how_to_make_one(tmp_path: Path, text: str) -> None:
    """And so does one of a cluster that is no inbox."""
    path = tmp_path / "inbox.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="inbox create"):
        load_inbox(path)
    save_inbox(path, InboxAccess("blue", "h:1", "s", "t"))
    with pytest.raises(UsageError, match="not an inbox's name"):
        load_inbox(path)


@pytest.mark.parametrize("name", ["", "A", "-", "a" * 58, "a_b", 'a"'])
def test_a_name_that_rainbow_cannot_hold_is_refused(name: str) -> None:
    """Before anything is registered."""
    with pytest.raises(UsageError, match="inbox name"):
        inbox_name(name)


def test_a_senders_keys_are_made_once_and_private(tmp_path: Path) -> None:
    """The same from then on; a file that holds none is an error that says so."""
    first = sender_keys(tmp_path / "new").public()
    assert sender_keys(tmp_path / "new").public() == first
    (path,) = (tmp_path / "new").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    for text in ("", "zz", "00"):
        path.write_text(text)
        with pytest.raises(UsageError, match="holds no key"):
            sender_keys(tmp_path / "new")


def test_a_row_is_read_also_where_there_are_boxes(tmp_path: Path) -> None:
    """Of an agent that does not know of them, or from before rainbow had some."""
    world = World(tmp_path, boxes=True)
    world.put(state_part(world.handle, RUNNING, 5))
    text = rows.write(
        rows.Message("inbox-alice", CLUSTER, (state_part(world.handle, make_job(), 6),))
    )
    world.rainbow.put("inbox-alice", text, rows.ROW_NAME)
    assert world.take() == 2
    assert world.state is JobState.COMPLETED
    world.sender.store.close()


def test_whether_rainbow_has_waited_is_known(world: World) -> None:
    """So that whoever looks again and again need not."""
    world.put(state_part(world.handle, RUNNING, 5))
    world.take()
    assert world.sender.has_waited == (world.rainbow.boxes is not None)
    world.take()
    assert not world.sender.has_waited, "this rainbow waits for nothing"


@pytest.mark.parametrize("boxes", [False, True], ids=["rows", "boxes"])
def test_what_has_waited_for_too_long_is_dropped(tmp_path: Path, boxes: bool) -> None:
    """Rainbow keeps it for ever: whoever looks again after that time reads what is newer."""
    world = World(tmp_path, boxes=boxes, keep=1000.0)
    clock = world.sender._clock
    assert isinstance(clock, FakeClock)
    world.take()
    sent = clock.now()
    clock.advance(5000.0)
    world.put(state_part(world.handle, RUNNING, 5, at=sent + 3999.0))
    taken = world.sender.take(world.rainbow)
    assert (taken.news, taken.dropped, world.state) == (0, 1, None)
    clock.advance(2000.0)
    world.put(state_part(world.handle, RUNNING, 6, at=sent + 6001.0))
    taken = world.sender.take(world.rainbow)
    assert (taken.news, taken.dropped, world.state) == (1, 0, JobState.RUNNING)
    assert world.sender.store.taken(CLUSTER) == 6, "the cluster hears that both were taken"
    world.sender.store.close()


@pytest.mark.parametrize("looks_every", [10.0, 900.0])
def test_who_looks_in_time_loses_nothing_to_a_clock_that_is_wrong(
    tmp_path: Path, looks_every: float
) -> None:
    """The cluster's is years behind; nor does the first look at a new job."""
    world = World(tmp_path, boxes=False, keep=1000.0)
    clock = world.sender._clock
    assert isinstance(clock, FakeClock)
    for turn in range(1, 6):
        world.put(state_part(world.handle, RUNNING, turn, at=1.0))
        assert world.sender.take(world.rainbow).news == 1
        clock.advance(looks_every)
    world.sender.store.close()
