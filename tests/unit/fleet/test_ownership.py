"""Who receives a cluster's jobs when several agents have its credentials."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rainbow_agent.core.errors import ClusterUnknown, Fatal, RequestDenied, Unavailable, UsageError
from rainbow_agent.core.model import Credentials, Offer
from rainbow_agent.fleet import ownership_messages
from rainbow_agent.fleet.ownership import GRAPH_WAIT_S, STALE_ANSWER_S, Ownership
from rainbow_agent.fleet.ownership_messages import AgentIdentity, OwnershipRecord
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.setting_types import Secret
from support.common import FakeClock
from support.scheduler import REGISTRATION_SECRET, FakeScheduler

R = "registration"


class Memory:
    """A state folder's note."""

    def __init__(self, ownership_record: OwnershipRecord | None = None) -> None:
        self.ownership_record = ownership_record
        self.full = False

    def load(self) -> OwnershipRecord | None:
        """What was saved."""
        return self.ownership_record

    def save(self, ownership_record: OwnershipRecord) -> None:
        """Keep it, if there is space."""
        if self.full:
            raise UsageError("no space")
        self.ownership_record = ownership_record


class Fleet:
    """A rainbow with one cluster, whose secret several agents may have."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rainbow = FakeScheduler()
        self.given: Credentials = self.rainbow.register("blue", REGISTRATION_SECRET, "{}")
        self.session = Session("blue", Secret(self.given.secret), R)
        self._agents = 0

    def agent(self, memory: Memory | None = None, *, known: bool = False) -> Ownership:
        """An agent that finds credentials at its start."""
        ownership = self.ownership(memory or Memory())
        ownership.found(R, known=known)
        return ownership

    def ownership(self, memory: Memory, token: str | None = None) -> Ownership:
        """An agent that knows nothing of its credentials yet."""
        self._agents += 1
        return Ownership(
            scheduler=self.rainbow,
            store=memory,
            token=lambda: self.given.token if token is None else token,
            identity=AgentIdentity(
                f"agent-{self._agents}", f"host-{self._agents}", 100, 1.0, "/state"
            ),
            poll_max=1.0,
            clock=self.clock,
            conditions=Conditions(self.clock),
        )

    def poll(self, ownership: Ownership) -> list[Offer]:
        """A holder's poll."""
        return ownership.answer_questions(
            self.session, self.rainbow.receive("blue", self.given.secret, 0)
        )

    def waits(self, ownership: Ownership, seconds: float, holder: Ownership | None = None) -> bool:
        """Steps of a second; whether it is the one in the end."""
        for _ in range(int(seconds)):
            if ownership.resolve(self.session):
                return True
            if holder is not None:
                self.poll(holder)
            self.clock.advance(1.0)
        return False


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_who_registered_holds_it(fleet: Fleet) -> None:
    """No question is asked, and the folder keeps it for the next start."""
    memory = Memory()
    ownership = fleet.ownership(memory)
    ownership.registered(R)
    assert ownership.resolve(fleet.session)
    assert not ownership.secret_rotation_due
    assert memory.ownership_record == OwnershipRecord(R, held=True)
    assert fleet.agent(memory).resolve(fleet.session)
    assert fleet.rainbow.calls["submit"] == 0


def test_a_folder_of_an_older_version_holds_it(fleet: Fleet) -> None:
    """Its ledger knows the registration, and there was no such note then."""
    assert fleet.agent(known=True).resolve(fleet.session)
    assert fleet.rainbow.calls["submit"] == 0


def test_the_second_one_is_told_who_is_there(fleet: Fleet) -> None:
    """The holder answers with its next poll; nothing of it stays, and no job was touched."""
    first = fleet.ownership(Memory())
    first.registered(R)
    job = fleet.rainbow.put("blue", "version: 1")
    memory = Memory()
    second = fleet.agent(memory)
    with pytest.raises(Fatal) as caught:
        fleet.waits(second, 10, holder=first)
    assert str(caught.value).startswith(
        "cluster blue is held by another agent (host host-1, pid 100, state folder /state, since"
        " 1970-01-01T00:00:01.000Z): it receives this cluster's jobs, so this agent does not."
    )
    assert fleet.rainbow.waiting("blue") == [job]
    assert not second.held
    assert memory.ownership_record == OwnershipRecord(R, held=False)
    assert first.held


def test_an_agent_of_an_older_version_is_answered_as_it_asks(fleet: Fleet) -> None:
    """It understands no other form, and would take its own question for unanswered."""
    first = fleet.ownership(Memory())
    first.registered(R)
    by = AgentIdentity("old", "host-9", 9, 1.0, "/state")
    question = ownership_messages.question(by, old=True)
    fleet.rainbow.put("blue", question, ownership_messages.QUESTION_JOB_NAME)
    assert fleet.poll(first) == []
    (offer,) = fleet.rainbow.receive("blue", fleet.given.secret, 0)
    holder = AgentIdentity("agent-1", "host-1", 100, 1.0, "/state")
    assert offer.jobspec == ownership_messages.answer(holder, "old", old=True)


def test_a_crash_while_asking_is_no_claim(fleet: Fleet) -> None:
    """The next start of that folder asks again, although its ledger may know the registration."""
    memory = Memory()
    assert not fleet.agent(memory).resolve(fleet.session)
    assert not fleet.agent(memory, known=True).held


def test_nobody_answers(fleet: Fleet) -> None:
    """The holder is gone: the new one continues in its place, and wants another secret."""
    memory = Memory()
    second = fleet.agent(memory)
    assert fleet.waits(second, 10)
    assert second.held
    assert not second.secret_rotation_due, "an agent that asks meanwhile gets the answer first"
    fleet.clock.advance(7.0)
    assert second.secret_rotation_due
    assert fleet.rainbow.waiting("blue") == []
    assert memory.ownership_record == OwnershipRecord(R, held=True, secret_rotated=False)
    assert fleet.agent(memory).secret_rotation_due, "after a restart, too"
    second.mark_secret_rotated()
    assert not second.secret_rotation_due


def test_it_asks_for_as_long_as_a_living_one_may_take(fleet: Fleet) -> None:
    """Three times the longest time between two polls."""
    second = fleet.agent()
    assert not fleet.waits(second, 3)
    assert fleet.waits(second, 2)


def test_a_copy_of_the_folder_asks(fleet: Fleet) -> None:
    """ownership_file.py tells a copy from the folder; so does another registration in it."""
    for note in (OwnershipRecord("", held=False), OwnershipRecord("another", held=True)):
        assert not fleet.agent(Memory(note), known=True).held


def test_two_that_come_at_once(fleet: Fleet) -> None:
    """The one that asked first gets it; the other one gets an error."""
    first, second = fleet.agent(), fleet.agent()
    for _ in range(3):
        assert not first.resolve(fleet.session)
        assert not second.resolve(fleet.session)
        fleet.clock.advance(1.0)
    assert first.resolve(fleet.session)
    assert not second.resolve(fleet.session)
    fleet.poll(first)
    with pytest.raises(Fatal, match="host-1"):
        second.resolve(fleet.session)
    assert fleet.rainbow.waiting("blue") == []


def test_a_holder_that_works_off_a_long_list_is_not_taken_for_gone(fleet: Fleet) -> None:
    """It does not come to the question for long; that jobs vanish shows that it is there."""
    first = fleet.ownership(Memory())
    first.registered(R)
    for _ in range(60):
        fleet.rainbow.put("blue", "version: 1")
    second = fleet.agent(Memory())
    for _ in range(30):
        assert not second.resolve(fleet.session)
        rows = fleet.rainbow.receive("blue", fleet.given.secret, 2)
        jobs = [offer.id for offer in first.answer_questions(fleet.session, rows)]
        fleet.rainbow.accept("blue", fleet.given.secret, jobs)
        fleet.clock.advance(1.0)
    assert len(fleet.rainbow.waiting("blue")) == 1, "the question only"
    with pytest.raises(Fatal):
        fleet.waits(second, 10, holder=first)


def test_a_list_that_does_not_fit_into_one_answer(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end, where the question is, is not seen: no agent is accused of having taken it."""
    for _ in range(5):
        fleet.rainbow.put("blue", "version: 1")
    receive = fleet.rainbow.receive
    monkeypatch.setattr(fleet.rainbow, "receive", lambda *known: receive(*known)[:4])
    second = fleet.agent()
    assert fleet.waits(second, 10)
    assert second.held
    for row in fleet.rainbow.waiting("blue")[:5]:
        fleet.rainbow.accept("blue", fleet.given.secret, [row])
    assert fleet.poll(second) == []
    assert fleet.rainbow.waiting("blue") == [], "its own question is none of its jobs"


def test_a_question_of_one_that_died_is_waited_out(fleet: Fleet) -> None:
    """It had asked first, and never says anything again."""
    fleet.agent().resolve(fleet.session)
    second = fleet.agent()
    assert not fleet.waits(second, 6)
    assert fleet.waits(second, 3)
    assert fleet.rainbow.waiting("blue") == []


def test_one_that_does_not_know_the_question(fleet: Fleet) -> None:
    """Its rows vanish without an answer, twice: somebody else takes them."""
    second = fleet.agent()
    for _ in range(2):
        assert not second.resolve(fleet.session)
        fleet.rainbow.accept("blue", fleet.given.secret, fleet.rainbow.waiting("blue"))
    with pytest.raises(Fatal, match="another program, which did not say who it is"):
        second.resolve(fleet.session)


def test_one_vanished_question_is_asked_again(fleet: Fleet) -> None:
    """Somebody may have cleaned up: no reason to leave a cluster alone."""
    second = fleet.agent()
    second.resolve(fleet.session)
    fleet.rainbow.accept("blue", fleet.given.secret, fleet.rainbow.waiting("blue"))
    assert fleet.waits(second, 10)


def test_without_a_token_nobody_can_be_asked(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """It continues, and says so."""
    for token in ("", "wrong"):
        ownership = fleet.ownership(Memory(), token=token)
        ownership.found(R, known=False)
        assert fleet.waits(ownership, 2)
        assert "cannot ask" in caplog.text
        caplog.clear()


def test_a_holder_without_a_token_is_noticed_all_the_same(fleet: Fleet) -> None:
    """It takes the question away, which no other agent would."""
    first = fleet.ownership(Memory(), token="")
    first.registered(R)
    with pytest.raises(Fatal, match="another program"):
        fleet.waits(fleet.agent(), 10, holder=first)


def test_a_lost_graph_is_left_to_the_other_one_for_a_while(fleet: Fleet) -> None:
    """Rainbow was restarted: an agent that lives loads it again; if none does, this one has to."""
    fleet.rainbow.fail("submit", ClusterUnknown("cluster blue does not exist"))
    second = fleet.agent()
    assert not second.resolve(fleet.session)
    assert not second.resolve(fleet.session)
    assert len(fleet.rainbow.waiting("blue")) == 1
    fleet.rainbow.accept("blue", fleet.given.secret, fleet.rainbow.waiting("blue"))
    third = fleet.agent()
    for call in range(1, 51):
        fleet.rainbow.fail("submit", ClusterUnknown("cluster blue does not exist"), call=call)
    assert not fleet.waits(third, GRAPH_WAIT_S)
    fleet.clock.advance(1.0)
    with pytest.raises(ClusterUnknown):
        third.resolve(fleet.session)


def test_a_rainbow_that_fails_while_asked(fleet: Fleet) -> None:
    """The caller gets the error and comes again."""
    second = fleet.agent()
    fleet.rainbow.fail("receive", Unavailable("away"))
    with pytest.raises(Unavailable):
        second.resolve(fleet.session)
    assert fleet.waits(second, 10)


def test_jobs_are_taken_whatever_goes_wrong_with_answers(fleet: Fleet) -> None:
    """The question stays, and is answered with the next poll."""
    first = fleet.ownership(Memory())
    first.registered(R)
    second = fleet.agent()
    second.resolve(fleet.session)
    job = fleet.rainbow.put("blue", "version: 1")
    fleet.rainbow.fail("submit", Unavailable("away"))
    assert [offer.id for offer in fleet.poll(first)] == [job]
    assert [offer.id for offer in fleet.poll(first)] == [job]
    with pytest.raises(Fatal, match="host-1"):
        second.resolve(fleet.session)


def test_an_answer_that_nobody_takes_is_taken_away(fleet: Fleet) -> None:
    """Who asked died: a minute later there is nothing of it."""
    first = fleet.ownership(Memory())
    first.registered(R)
    fleet.agent().resolve(fleet.session)
    fleet.poll(first)
    fleet.poll(first)
    assert len(fleet.rainbow.waiting("blue")) == 1
    fleet.clock.advance(STALE_ANSWER_S + 1)
    fleet.poll(first)
    assert fleet.rainbow.waiting("blue") == []


def test_one_that_takes_no_jobs_listens(fleet: Fleet) -> None:
    """Drained, or in a black hole: it looks at the list now and then, and takes nothing."""
    first = fleet.ownership(Memory())
    first.registered(R)
    job = fleet.rainbow.put("blue", "version: 1")
    second = fleet.agent()
    second.resolve(fleet.session)
    first.look_for_questions(fleet.session)
    with pytest.raises(Fatal, match="host-1"):
        second.resolve(fleet.session)
    assert fleet.rainbow.waiting("blue") == [job]
    before = fleet.rainbow.calls["receive"]
    first.look_for_questions(fleet.session)
    assert fleet.rainbow.calls["receive"] == before, "not at every turn"
    fleet.clock.advance(10.0)
    fleet.rainbow.down = True
    first.look_for_questions(fleet.session)


def test_a_secret_that_was_put_there_is_asked_about(fleet: Fleet) -> None:
    """Others may have it, too."""
    memory = Memory()
    ownership = fleet.ownership(memory)
    ownership.registered("another")
    ownership.replaced(R)
    assert not ownership.held
    assert fleet.waits(ownership, 10)


def test_a_full_disk_is_no_hindrance(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """It continues, and the next start asks again."""
    memory = Memory()
    memory.full = True
    ownership = fleet.ownership(memory)
    ownership.registered(R)
    assert ownership.held
    assert "no space" in caplog.text
    assert not fleet.agent(replace_full(memory)).held


def replace_full(memory: Memory) -> Memory:
    memory.full = False
    return memory


def test_status_says_that_it_asks(fleet: Fleet) -> None:
    """While no jobs are taken, and not after it."""
    clock = fleet.clock
    conditions = Conditions(clock)
    ownership = fleet.ownership(Memory())
    ownership._conditions = conditions
    ownership.found(R, known=False)
    ownership.resolve(fleet.session)
    assert conditions.has(ConditionName.ASKING_WHO_RECEIVES)
    assert fleet.waits(ownership, 10)
    assert not conditions.has(ConditionName.ASKING_WHO_RECEIVES)


def test_a_denied_secret_is_the_callers_business(fleet: Fleet) -> None:
    """As anywhere else: the registrar heals it."""
    wrong = replace(fleet.session, secret=Secret("wrong"))
    with pytest.raises(RequestDenied):
        fleet.agent().resolve(wrong)
    assert ownership_messages.QUESTION_JOB_NAME
