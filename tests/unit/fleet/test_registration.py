"""Membership in the fleet: one secret, kept first, healed when rainbow loses something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import (
    ClusterUnknown,
    Fatal,
    Rejected,
    RequestDenied,
    Unavailable,
    UsageError,
)
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.registration import DENIALS, Doubt, Registrar, Session
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock, FakeCredentialStore
from support.ledger import checked_ledger
from support.scheduler import REGISTRATION_SECRET, FakeScheduler


class Desk:
    """A registrar, and all that it talks to."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.rainbow = FakeScheduler()
        self.store = FakeCredentialStore()
        self.clock = FakeClock()
        self.graphs = 0
        self.restart()

    def restart(self, secret: str = REGISTRATION_SECRET) -> None:
        """The agent starts (again); what is on disk is still there."""
        self.registrar = Registrar(
            cluster="blue",
            host="rainbow.example:50051",
            secret=Secret(secret),
            secret_source="environment RAINBOW_SECRET",
            scheduler=self.rainbow,
            store=self.store,
            ledger=self.ledger,
            graph=self.graph,
            registration_id="of {}".format,
            clock=self.clock,
        )

    def graph(self) -> str:
        """The cluster graph, and how often it was built."""
        self.graphs += 1
        return '{"graph": {}}'

    def works(self) -> bool:
        """Whether rainbow takes what the session says."""
        session = self.registrar.ensure()
        self.rainbow.update_state(session.cluster, session.secret.reveal(), {})
        return True

    def doubt(self, error: ClusterUnknown | RequestDenied) -> Doubt:
        """What another thread was answered with the session of now."""
        return Doubt(self.registrar.ensure(), error)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


DENIED = RequestDenied("request denied")
UNKNOWN = ClusterUnknown("cluster blue does not exist")


def test_the_first_start_registers(desk: Desk) -> None:
    """With the graph; the ledger has the new registration as the current one."""
    session = desk.registrar.ensure()
    assert session == Session("blue", Secret("secret-number-1"), "of secret-number-1")
    current = desk.ledger.current_registration()
    assert current is not None
    assert (current.id, current.cluster, current.host) == (
        "of secret-number-1",
        "blue",
        "rainbow.example:50051",
    )
    assert desk.works()


def test_the_secret_is_on_disk_before_the_ledger_hears_of_it(desk: Desk) -> None:
    """It is given once: nothing comes between Register and the store."""
    known = []
    desk.store.on_save = lambda _: known.append(desk.ledger.current_registration())
    desk.registrar.ensure()
    assert known == [None]
    assert desk.ledger.current_registration() is not None


def test_asking_again_does_not_register_again(desk: Desk) -> None:
    """The session is kept; the graph is built once."""
    assert desk.registrar.ensure() is desk.registrar.ensure()
    assert (desk.rainbow.calls["register"], desk.graphs) == (1, 1)


def test_the_next_start_uses_the_stored_secret(desk: Desk) -> None:
    """Without a call to rainbow, and without a registration secret."""
    before = desk.registrar.ensure()
    desk.restart(secret="")
    assert desk.registrar.ensure() == before
    assert (desk.rainbow.calls["register"], desk.graphs) == (1, 1)
    assert desk.works()


def test_no_secret_at_all_is_fatal_and_says_what_to_set(desk: Desk) -> None:
    """Nothing gets better by restarting: exit code 42, with the place and the variable."""
    desk.restart(secret="")
    with pytest.raises(Fatal, match=r"/state/rainbow-config.yaml.*RAINBOW_SECRET") as caught:
        desk.registrar.ensure()
    assert caught.value.exit_code == 42
    assert desk.rainbow.calls["register"] == 0


def test_a_wrong_registration_secret_is_fatal_and_names_its_source(desk: Desk) -> None:
    """The message says where the secret came from, and never what it is."""
    desk.restart(secret="wrong-secret")
    with pytest.raises(Fatal, match=r"refuses.*environment RAINBOW_SECRET") as caught:
        desk.registrar.ensure()
    assert "wrong-secret" not in str(caught.value)
    assert desk.store.kept is None


def test_a_name_that_is_taken_is_fatal_and_tells_the_ways_out(desk: Desk) -> None:
    """Somebody has the name, or our secret was lost: only a human can tell which."""
    desk.registrar.ensure()
    desk.store.kept = None
    desk.restart()
    with pytest.raises(Fatal) as caught:
        desk.registrar.ensure()
    said = str(caught.value)
    assert caught.value.exit_code == 42
    for words in (
        "blue",
        "rainbow.example:50051",
        "only once",
        "RAINBOW_CLUSTER",
        "table `clusters`",
    ):
        assert words in said
    assert REGISTRATION_SECRET not in said


def test_rainbow_that_is_away_is_tried_again(desk: Desk) -> None:
    """No session, nothing stored; the next call registers."""
    desk.rainbow.down = True
    with pytest.raises(Unavailable):
        desk.registrar.ensure()
    assert (desk.registrar.session, desk.store.kept) == (None, None)
    desk.rainbow.down = False
    assert desk.works()


def test_rainbow_restarted_without_its_database_gets_us_anew(desk: Desk) -> None:
    """Denied: a new registration, whose ids start over; the old one is closed."""
    old = desk.registrar.ensure()
    desk.rainbow.restart(keep_database=False)
    desk.registrar.heal(Doubt(old, DENIED))
    new = desk.registrar.ensure()
    assert new.registration != old.registration
    current = desk.ledger.current_registration()
    assert current is not None
    assert current.id == new.registration
    desk.ledger.close_registration(new.registration, 1.0)
    assert desk.ledger.current_registration() is None, "the old one is closed"
    assert desk.works()


def test_a_registration_that_was_cut_short_is_finished(desk: Desk) -> None:
    """Killed once the new secret was on disk: the next start closes the old registration, too."""
    old = desk.registrar.ensure()
    desk.rainbow.restart(keep_database=False)
    given = desk.rainbow.register("blue", REGISTRATION_SECRET, "{}")
    desk.store.save(given)
    desk.restart()
    new = desk.registrar.ensure()
    assert new.registration != old.registration
    desk.ledger.close_registration(new.registration, 1.0)
    assert desk.ledger.current_registration() is None, "the old one is closed"


def test_rainbow_restarted_with_its_database_gets_our_graph_again(desk: Desk) -> None:
    """The secret stays good: the same session, the graph loaded, no registration."""
    old = desk.registrar.ensure()
    desk.rainbow.restart(keep_database=True)
    desk.registrar.heal(Doubt(old, UNKNOWN))
    assert desk.registrar.ensure() is old
    assert (desk.rainbow.calls["register"], desk.rainbow.has_graph("blue")) == (1, True)
    assert desk.works()


def test_a_graph_that_is_there_again_is_as_good(desk: Desk) -> None:
    """Somebody was quicker; that is no error."""
    desk.registrar.heal(desk.doubt(UNKNOWN))
    assert desk.works()


def test_another_refusal_of_the_graph_is_not_hidden(desk: Desk) -> None:
    """What rainbow says is passed on."""
    desk.rainbow.fail("restore_graph", Rejected("graph without a root"))
    with pytest.raises(Rejected, match="without a root"):
        desk.registrar.heal(desk.doubt(UNKNOWN))


def test_a_doubt_about_an_older_session_is_ignored(desk: Desk) -> None:
    """Two threads are denied with the same secret: the second doubt finds it healed."""
    stale = desk.doubt(DENIED)
    desk.rainbow.restart(keep_database=False)
    desk.registrar.heal(stale)
    healed = desk.registrar.session
    desk.registrar.heal(stale)
    assert desk.registrar.session is healed
    assert desk.rainbow.calls["register"] == 2


def rotate(desk: Desk) -> None:
    """Rainbow has the cluster under another secret now."""
    given = desk.registrar.ensure()
    desk.rainbow.deregister(given.cluster, given.secret.reveal())
    desk.rainbow.register(given.cluster, REGISTRATION_SECRET, "{}")


def test_denied_while_the_name_is_still_taken_is_fatal_the_third_time(desk: Desk) -> None:
    """Rainbow knows the cluster under another secret: another agent, or it was changed there."""
    doubt = desk.doubt(DENIED)
    rotate(desk)
    for left in ("2 more times", "1 more time"):
        with pytest.raises(Unavailable, match=left):
            desk.registrar.heal(doubt)
    with pytest.raises(Fatal, match="RAINBOW_CLUSTER") as caught:
        desk.registrar.heal(doubt)
    assert "the secret was changed in rainbow" in str(caught.value)


def test_a_denial_that_does_not_last_changes_nothing(desk: Desk) -> None:
    """Rainbow says `request denied` also while it cannot read its database."""
    session = desk.registrar.ensure()
    desk.registrar.heal(desk.doubt(DENIED))
    assert desk.registrar.session is session
    assert desk.rainbow.calls["register"] == 1


def test_denials_count_only_one_after_the_other(desk: Desk) -> None:
    """One that was taken back begins the count anew."""
    doubt = desk.doubt(DENIED)
    for _ in range(3):
        for _ in range(DENIALS - 1):
            desk.rainbow.fail("receive", DENIED)
            with pytest.raises(Unavailable, match="has the cluster"):
                desk.registrar.heal(doubt)
        desk.registrar.heal(doubt)
    assert desk.registrar.session == doubt.session


def test_denied_without_a_registration_secret_tells_the_truth(desk: Desk) -> None:
    """A secret is stored, rainbow refuses it, and there is none to get another with."""
    desk.registrar.ensure()
    desk.restart(secret="")
    doubt = desk.doubt(DENIED)
    desk.rainbow.restart(keep_database=False)
    with pytest.raises(Fatal, match="RAINBOW_SECRET") as caught:
        desk.registrar.heal(doubt)
    assert "has no stored secret" not in str(caught.value)


def test_rainbow_away_while_healing_keeps_the_session(desk: Desk) -> None:
    """The next denial raises the doubt again."""
    old = desk.registrar.ensure()
    desk.rainbow.down = True
    with pytest.raises(Unavailable):
        desk.registrar.heal(Doubt(old, DENIED))
    assert desk.registrar.session is old


def test_a_lost_reply_to_register_is_fatal_at_the_next_try(desk: Desk) -> None:
    """The secret went with it: no agent can get it back, and the message says what to do."""
    desk.rainbow.fail("register", Unavailable("deadline exceeded"), after=True)
    with pytest.raises(Unavailable):
        desk.registrar.ensure()
    with pytest.raises(Fatal, match="gives its secret only once"):
        desk.registrar.ensure()


def test_secrets_are_in_no_repr_and_no_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A session can be logged without harm."""
    caplog.set_level("DEBUG")
    session = desk.registrar.ensure()
    desk.rainbow.restart(keep_database=False)
    desk.registrar.heal(Doubt(session, DENIED))
    shown = f"{session!r} {desk.registrar.session!r} {caplog.text}"
    assert "secret-number" not in shown.replace("of secret-number", "")
    assert REGISTRATION_SECRET not in shown


def test_a_secret_that_cannot_be_stored_is_not_lost(desk: Desk) -> None:
    """Rainbow gave it once: it is kept in memory and stored as soon as that is possible."""

    def full(_: Credentials) -> None:
        raise UsageError("/state: No space left on device")

    desk.store.on_save = full
    for _ in range(2):
        with pytest.raises(Unavailable, match="No space left on device; it is kept in memory"):
            desk.registrar.ensure()
    assert desk.rainbow.calls["register"] == 1
    assert desk.store.kept is None
    desk.store.on_save = lambda _: None
    assert desk.works()
    assert desk.rainbow.calls["register"] == 1
    assert desk.store.kept == Credentials("secret-number-1", "token-number-1")


def test_an_answer_that_was_lost_is_told(desk: Desk) -> None:
    """With when it was asked for, by every start, until there is a secret again."""
    desk.rainbow.fail("register", Unavailable("it broke"), after=True)
    desk.clock.advance(100.0)
    asked = when(desk.clock.now())
    with pytest.raises(Unavailable):
        desk.registrar.ensure()
    for _ in range(2):
        desk.clock.advance(50.0)
        desk.restart()
        with pytest.raises(Fatal, match=f"This agent asked for one at {asked}, and the answer"):
            desk.registrar.ensure()
    desk.store.kept = Credentials("secret-number-1", "token-number-1")  # what the operator found
    desk.restart()
    assert desk.works()


def test_a_name_that_another_has_is_not_called_an_answer_that_was_lost(desk: Desk) -> None:
    """This one never asked before."""
    desk.rainbow.register("blue", REGISTRATION_SECRET, "{}")
    for _ in range(2):
        with pytest.raises(Fatal) as caught:
            desk.registrar.ensure()
        assert "asked for one" not in str(caught.value)
        desk.restart()


def test_a_graph_that_outlived_its_row(desk: Desk) -> None:
    """075ee23 makes a row, then answers with an error: the secret is lost, and that is told."""
    error = "cluster graph blue already exists and cannot be added again"
    desk.rainbow.fail("register", Rejected(error), after=True)
    with pytest.raises(Fatal, match=r"kept the new secret to itself: .* then restart rainbow"):
        desk.registrar.ensure()


def test_a_store_that_is_full_while_it_runs_is_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a first start whoever started it is told; later nothing is asked of rainbow until then."""

    def full() -> None:
        raise UsageError("/state: No space left on device")

    monkeypatch.setattr(desk.store, "check", full)
    with pytest.raises(UsageError):
        desk.registrar.ensure()
    monkeypatch.undo()
    doubt = desk.doubt(DENIED)
    desk.rainbow.restart(keep_database=False)
    monkeypatch.setattr(desk.store, "check", full)
    before = desk.rainbow.calls["register"]
    with pytest.raises(Unavailable, match="No space left"):
        desk.registrar.heal(doubt)
    assert desk.rainbow.calls["register"] == before
    monkeypatch.undo()
    desk.registrar.heal(doubt)
    assert desk.works()


def test_a_stored_session_is_there_without_rainbow(desk: Desk) -> None:
    """For a report right after the start; a cluster that has none is not registered by it."""
    desk.registrar.resume()
    assert desk.registrar.session is None
    session = desk.registrar.ensure()
    desk.restart()
    desk.rainbow.down = True
    desk.registrar.resume()
    assert desk.registrar.session == session
