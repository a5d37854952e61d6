"""Inboxes over each way that messages take: no job fits one, and messages go through.

Boxes of our own scheduler, rows of its list, and rows of the real one's.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import RequestDenied
from rainbow_agent.fleet.fitting import fitting
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH
from rainbow_agent.fleet.messages.inboxes import create_inbox
from rainbow_agent.fleet.messages.post import send
from rainbow_agent.jobspec.handle import find
from rainbow_agent.jobspec.questions import AllOf
from rainbow_agent.jobspec.simple import simple_jobspec
from rainbow_agent.jobspec.wire import to_wire
from support.common import Background
from support.senders import KEYS, ask_part, make_handle, make_job, make_sender, state_part
from support.servers import Join, SchedulerKind, SchedulerProcess, new_cluster


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SchedulerKind.EMBEDDED, id="boxes"),
        pytest.param(SchedulerKind.EMBEDDED_ROWS, id="rows"),
        pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
    ],
)
def kind(request: pytest.FixtureRequest) -> SchedulerKind:
    """Each way that messages take."""
    found: SchedulerKind = request.param
    if found.missing():
        pytest.skip(found.missing())
    return found


def resource(**vertex: Any) -> dict[str, Any]:
    """A jobspec that asks for one resource."""
    return {
        "version": 1,
        "resources": {"r": vertex},
        "tasks": [{"command": ["true"], "resources": "r"}],
    }


CORE = {"type": "core", "count": 1}
JOBS = [
    simple_jobspec(["true"]),
    simple_jobspec(["true"], nodes=1),
    simple_jobspec(["true"], cores=1, gpus=1),
    resource(type="node", count=1),
    resource(**CORE),
    resource(type="gpu", count=1),
    resource(type="cluster", count=1, **{"with": [CORE]}),
    resource(type="slot", replicas=1, **{"with": [CORE]}),
    resource(type="node", replicas=1, **{"with": [CORE]}),
]


@pytest.mark.parametrize("job", JOBS, ids=range(len(JOBS)))
def test_no_job_fits_an_inbox(
    shared: tuple[SchedulerProcess, RainbowScheduler], job: dict[str, Any]
) -> None:
    """Whatever it asks for, as long as it asks for something."""
    process, scheduler = shared
    name = f"inbox-{new_cluster()}"
    scheduler.register(name, process.secret, INBOX_GRAPH)
    assert name not in scheduler.satisfy(job).clusters


def test_what_asks_for_nothing_is_not_sent_to_an_inbox(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """It fits all clusters; `submit` leaves inboxes out."""
    process, scheduler = own
    scheduler.register("inbox-alice", process.secret, INBOX_GRAPH)
    assert "inbox-alice" in scheduler.satisfy({"version": 1}).clusters
    assert fitting(scheduler, AllOf(())).clusters == ()


def test_a_message_waits_for_a_sender_who_is_away(
    own: tuple[SchedulerProcess, RainbowScheduler], tmp_path: Path
) -> None:
    """Through restarts of rainbow, which lose the inbox's graph; and it is taken once."""
    process, scheduler = own
    inbox = create_inbox(
        scheduler,
        "inbox-alice",
        host=process.host,
        secret=process.secret,
        path=tmp_path / "inbox.yaml",
    )
    with closing((sender := make_sender(tmp_path, inbox)).store):
        document = simple_jobspec(["true"])
        handle_id, prepared = sender.prepare(document, "job", KEYS.public(), 60.0)
        handle = find(to_wire(prepared))
        assert handle is not None
        process.restart(keep_db=True)
        part = state_part(handle, make_job(), 5)
        send(scheduler, handle.token, rows.Message(inbox.name, "blue", (part,)))
        process.restart(keep_db=True)
        with closing(RainbowScheduler(process.host)) as later:
            assert sender.take(later).news == 1
            assert sender.take(later).news == 0
        found = sender.store.job(handle_id)
        assert found is not None
        assert found.job == make_job()


def test_a_message_to_an_inbox_that_is_gone_is_denied(
    shared: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """And none is made by it."""
    _, scheduler = shared
    name = f"inbox-{new_cluster()}"
    with pytest.raises(RequestDenied):
        send(scheduler, "token", rows.Message(name, "blue", ()))


def test_a_jobspec_with_a_handle_goes_through_as_it_is(
    scheduler: RainbowScheduler, join: Join, tmp_path: Path
) -> None:
    """Rainbow's matcher and list take it, and the handle comes out of the list."""
    name, given = join()
    with closing((sender := make_sender(tmp_path)).store):
        _, prepared = sender.prepare(simple_jobspec(["true"]), "job", KEYS.public(), 60.0)
    assert name in scheduler.satisfy(prepared).clusters
    text = to_wire(prepared)
    scheduler.submit("job", {name: given.token}, text)
    (offer,) = scheduler.receive(name, given.secret, 0)
    assert offer.jobspec == text
    assert find(offer.jobspec) is not None


def test_a_sender_who_looks_again_and_again_hears_it(
    own: tuple[SchedulerProcess, RainbowScheduler], tmp_path: Path
) -> None:
    """Where rainbow waits with them they need not rest between looks; a message is news once."""
    process, scheduler = own
    path = tmp_path / "inbox.yaml"
    inbox = create_inbox(
        scheduler, "inbox-alice", host=process.host, secret=process.secret, path=path
    )
    heard: list[int] = []
    with closing((sender := make_sender(tmp_path, inbox)).store):
        _, prepared = sender.prepare(simple_jobspec(["true"]), "job", KEYS.public(), 60.0)
    handle = find(to_wire(prepared))
    assert handle is not None

    def listen() -> None:
        with (
            closing((there := make_sender(tmp_path, inbox)).store),
            closing(RainbowScheduler(process.host)) as mine,
        ):
            while not heard or not heard[-1]:
                heard.append(there.take(mine, wait=5.0).news)
                assert heard[-1] or there.has_waited == (process.kind is SchedulerKind.EMBEDDED)
            heard.append(there.take(mine).news)

    listener = Background(listen)
    listener.start()
    part = state_part(handle, make_job(), 5)
    send(scheduler, handle.token, rows.Message(inbox.name, "blue", (part,)))
    listener.end()
    assert heard[-2:] == [1, 0]


def test_what_a_sender_asks_comes_to_the_cluster_and_is_no_job(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """In its box, or among its rows; a wrong token leaves nothing, and what was read is removed."""
    name, given = join()
    asked = rows.Message(
        name, "inbox-alice", (ask_part(make_handle(1), {"ask": "state"}, to=name),)
    )
    with pytest.raises(RequestDenied):
        send(scheduler, "token", asked)
    send(scheduler, given.token, asked)
    offers = scheduler.receive(name, given.secret, 0)
    box = scheduler.messages(name, given.secret)
    listed = [rows.read(offer.name, offer.jobspec) for offer in offers]
    boxed = [each.message for each in box.messages] if box else []
    assert listed + boxed == [asked]
    scheduler.accept(name, given.secret, [offer.id for offer in offers])
    scheduler.remove_messages(name, given.secret, [each.id for each in box.messages] if box else [])
    assert scheduler.receive(name, given.secret, 0) == []
    left = scheduler.messages(name, given.secret)
    assert left is None or left.messages == ()
