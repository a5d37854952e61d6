"""Membership in the fleet: one secret, kept first, healed when rainbow loses something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import (
    ClusterUnknown,
    Fatal,
    GraphExists,
    Rejected,
    RequestDenied,
    Unavailable,
    UsageError,
)
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.registration import DENIED_FOR_S, MAX_DENIALS, Registrar
from rainbow_agent.fleet.session import Session, SessionError
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock, FakeCredentialStore
from support.ledger import checked_ledger
from support.scheduler import REGISTRATION_SECRET, FakeScheduler


class Harness:
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

    def session_error(self, error: ClusterUnknown | RequestDenied) -> SessionError:
        """What another thread was answered with the session of now."""
        return SessionError(self.registrar.ensure(), error)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


DENIED = RequestDenied("request denied")
UNKNOWN = ClusterUnknown("cluster blue does not exist")


def test_the_first_start_registers(harness: Harness) -> None:
    """With the graph; the ledger has the new registration as the current one."""
    session = harness.registrar.ensure()
    assert session == Session("blue", Secret("secret-number-1"), "of secret-number-1")
    current = harness.ledger.current_registration()
    assert current is not None
    assert (current.id, current.cluster, current.host) == (
        "of secret-number-1",
        "blue",
        "rainbow.example:50051",
    )
    assert harness.works()


def test_the_secret_is_on_disk_before_the_ledger_hears_of_it(harness: Harness) -> None:
    """It is given once: nothing comes between Register and the store."""
    known = []
    harness.store.on_save = lambda _: known.append(harness.ledger.current_registration())
    harness.registrar.ensure()
    assert known == [None]
    assert harness.ledger.current_registration() is not None


def test_asking_again_does_not_register_again(harness: Harness) -> None:
    """The session is kept; the graph is built once."""
    assert harness.registrar.ensure() is harness.registrar.ensure()
    assert (harness.rainbow.calls["register"], harness.graphs) == (1, 1)


def test_the_next_start_uses_the_stored_secret(harness: Harness) -> None:
    """Without a call to rainbow, and without a registration secret."""
    before = harness.registrar.ensure()
    harness.restart(secret="")
    assert harness.registrar.ensure() == before
    assert (harness.rainbow.calls["register"], harness.graphs) == (1, 1)
    assert harness.works()


def test_no_secret_at_all_is_fatal_and_says_what_to_set(harness: Harness) -> None:
    """Nothing gets better by restarting: exit code 42, with the place and the variable."""
    harness.restart(secret="")
    with pytest.raises(Fatal, match=r"/state/rainbow-config.yaml.*RAINBOW_SECRET") as caught:
        harness.registrar.ensure()
    assert caught.value.exit_code == 42
    assert harness.rainbow.calls["register"] == 0


def test_a_wrong_registration_secret_is_fatal_and_names_its_source(harness: Harness) -> None:
    """The message says where the secret came from, and never what it is."""
    harness.restart(secret="wrong-secret")
    with pytest.raises(Fatal, match=r"refuses.*environment RAINBOW_SECRET") as caught:
        harness.registrar.ensure()
    assert "wrong-secret" not in str(caught.value)
    assert harness.store.kept is None


def test_a_name_that_is_taken_is_fatal_and_tells_the_ways_out(harness: Harness) -> None:
    """Somebody has the name, or our secret was lost: only a human can tell which."""
    harness.registrar.ensure()
    harness.store.kept = None
    harness.restart()
    with pytest.raises(Fatal) as caught:
        harness.registrar.ensure()
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


def test_rainbow_that_is_away_is_tried_again(harness: Harness) -> None:
    """No session, nothing stored; the next call registers."""
    harness.rainbow.down = True
    with pytest.raises(Unavailable):
        harness.registrar.ensure()
    assert (harness.registrar.session, harness.store.kept) == (None, None)
    harness.rainbow.down = False
    assert harness.works()


def test_rainbow_restarted_without_its_database_gets_us_anew(harness: Harness) -> None:
    """Denied: a new registration, whose ids start over; the old one is closed."""
    old = harness.registrar.ensure()
    harness.rainbow.restart(keep_database=False)
    harness.registrar.recover(SessionError(old, DENIED))
    new = harness.registrar.ensure()
    assert new.registration != old.registration
    current = harness.ledger.current_registration()
    assert current is not None
    assert current.id == new.registration
    harness.ledger.close_registration(new.registration, 1.0)
    assert harness.ledger.current_registration() is None, "the old one is closed"
    assert harness.works()


def test_a_registration_that_was_cut_short_is_finished(harness: Harness) -> None:
    """Killed once the new secret was on disk: the next start closes the old registration, too."""
    old = harness.registrar.ensure()
    harness.rainbow.restart(keep_database=False)
    given = harness.rainbow.register("blue", REGISTRATION_SECRET, "{}")
    harness.store.save(given)
    harness.restart()
    new = harness.registrar.ensure()
    assert new.registration != old.registration
    harness.ledger.close_registration(new.registration, 1.0)
    assert harness.ledger.current_registration() is None, "the old one is closed"


def test_rainbow_restarted_with_its_database_gets_our_graph_again(harness: Harness) -> None:
    """The secret stays good: the same session, the graph loaded, no registration."""
    old = harness.registrar.ensure()
    harness.rainbow.restart(keep_database=True)
    harness.registrar.recover(SessionError(old, UNKNOWN))
    assert harness.registrar.ensure() is old
    assert (harness.rainbow.calls["register"], harness.rainbow.has_graph("blue")) == (1, True)
    assert harness.works()


def test_a_graph_is_not_loaded_into_a_rainbow_that_lost_our_row_meanwhile(harness: Harness) -> None:
    """It would take the graph, and keep the secret of the next registration to itself."""
    old = harness.registrar.ensure()
    harness.rainbow.restart(keep_database=True)
    harness.rainbow.restart(keep_database=False)
    harness.registrar.recover(SessionError(old, UNKNOWN))
    assert harness.registrar.ensure().registration != old.registration
    assert harness.rainbow.calls["restore_graph"] == 0
    assert harness.works()


def test_a_row_that_cannot_be_read_does_not_keep_our_graph_away(harness: Harness) -> None:
    """Rainbow took our secret: it has the cluster."""
    old = harness.registrar.ensure()
    harness.rainbow.restart(keep_database=True)
    harness.rainbow.fail("receive", Rejected("the job that rainbow lists first is too large"))
    harness.registrar.recover(SessionError(old, UNKNOWN))
    assert harness.registrar.ensure() is old
    assert harness.works()


def test_a_graph_that_is_there_again_is_as_good(harness: Harness) -> None:
    """Somebody was quicker; that is no error."""
    harness.registrar.recover(harness.session_error(UNKNOWN))
    assert harness.works()


def test_another_refusal_of_the_graph_is_not_hidden(harness: Harness) -> None:
    """What rainbow says is passed on."""
    harness.rainbow.fail("restore_graph", Rejected("graph without a root"))
    with pytest.raises(Rejected, match="without a root"):
        harness.registrar.recover(harness.session_error(UNKNOWN))


def test_a_doubt_about_an_older_session_is_ignored(harness: Harness) -> None:
    """Two threads are denied with the same secret: the second doubt finds it healed."""
    stale = harness.session_error(DENIED)
    harness.rainbow.restart(keep_database=False)
    harness.registrar.recover(stale)
    healed = harness.registrar.session
    harness.registrar.recover(stale)
    assert harness.registrar.session is healed
    assert harness.rainbow.calls["register"] == 2


def rotate(harness: Harness) -> None:
    """Rainbow has the cluster under another secret now."""
    given = harness.registrar.ensure()
    harness.rainbow.deregister(given.cluster, given.secret.reveal())
    harness.rainbow.register(given.cluster, REGISTRATION_SECRET, "{}")


def test_denied_while_the_name_is_still_taken_is_fatal_the_third_time(harness: Harness) -> None:
    """Rainbow knows the cluster under another secret: another agent, or it was changed there."""
    session_error = harness.session_error(DENIED)
    rotate(harness)
    for left in ("2 more times", "1 more time"):
        with pytest.raises(Unavailable, match=left):
            harness.registrar.recover(session_error)
    with pytest.raises(Fatal, match="RAINBOW_CLUSTER") as caught:
        harness.registrar.recover(session_error)
    assert "the secret was changed in rainbow" in str(caught.value)


def test_a_secret_that_another_program_overwrote_is_put_back(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Upstream's register.py writes another cluster's secret into the file: ours is not lost."""
    before = harness.registrar.ensure()
    harness.store.kept = Credentials("secret of green", "token of green")
    harness.restart()
    session_error = harness.session_error(DENIED)
    assert session_error.session != before
    harness.registrar.recover(session_error)
    assert harness.registrar.session == before
    assert harness.works()
    current = harness.ledger.current_registration()
    assert current is not None
    assert current.id == before.registration
    assert harness.store.load() == before.secret
    assert harness.rainbow.calls["register"] == 1
    assert "register.py" in caplog.text


def test_a_copy_that_rainbow_denies_too_changes_nothing(harness: Harness) -> None:
    """The secret was changed in rainbow: that is said as before."""
    harness.registrar.ensure()
    rotate(harness)
    harness.store.kept = Credentials("another secret", "token")
    harness.restart()
    with pytest.raises(Unavailable, match="2 more times"):
        harness.registrar.recover(harness.session_error(DENIED))
    assert harness.store.load() == Secret("another secret")


def test_a_denial_that_does_not_last_changes_nothing(harness: Harness) -> None:
    """Rainbow says `request denied` also while it cannot read its database."""
    session = harness.registrar.ensure()
    harness.registrar.recover(harness.session_error(DENIED))
    assert harness.registrar.session is session
    assert harness.rainbow.calls["register"] == 1


def test_denials_count_only_one_after_the_other(harness: Harness) -> None:
    """One that was taken back begins the count anew."""
    session_error = harness.session_error(DENIED)
    for _ in range(3):
        for _ in range(MAX_DENIALS - 1):
            harness.rainbow.fail("receive", DENIED)
            with pytest.raises(Unavailable, match="has the cluster"):
                harness.registrar.recover(session_error)
        harness.registrar.recover(session_error)
    assert harness.registrar.session == session_error.session


def test_denied_without_a_registration_secret_tells_the_truth(harness: Harness) -> None:
    """A secret is stored, rainbow refuses it, and there is none to get another with."""
    harness.registrar.ensure()
    harness.restart(secret="")
    session_error = harness.session_error(DENIED)
    harness.rainbow.restart(keep_database=False)
    with pytest.raises(Unavailable, match="asked again for 60 s"):
        harness.registrar.recover(session_error)
    harness.clock.advance(DENIED_FOR_S)
    with pytest.raises(Fatal, match="RAINBOW_SECRET") as caught:
        harness.registrar.recover(session_error)
    assert "has no stored secret" not in str(caught.value)


def test_rainbow_away_while_healing_keeps_the_session(harness: Harness) -> None:
    """The next denial raises the doubt again."""
    old = harness.registrar.ensure()
    harness.rainbow.down = True
    with pytest.raises(Unavailable):
        harness.registrar.recover(SessionError(old, DENIED))
    assert harness.registrar.session is old


def test_a_lost_reply_to_register_is_fatal_at_the_next_try(harness: Harness) -> None:
    """The secret went with it: no agent can get it back, and the message says what to do."""
    harness.rainbow.fail("register", Unavailable("deadline exceeded"), after=True)
    with pytest.raises(Unavailable):
        harness.registrar.ensure()
    with pytest.raises(Fatal, match="gives its secret only once"):
        harness.registrar.ensure()


def test_secrets_are_in_no_repr_and_no_log(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """A session can be logged without harm."""
    caplog.set_level("DEBUG")
    session = harness.registrar.ensure()
    harness.rainbow.restart(keep_database=False)
    harness.registrar.recover(SessionError(session, DENIED))
    shown = f"{session!r} {harness.registrar.session!r} {caplog.text}"
    assert "secret-number" not in shown.replace("of secret-number", "")
    assert REGISTRATION_SECRET not in shown


def test_a_secret_that_cannot_be_stored_is_not_lost(harness: Harness) -> None:
    """Rainbow gave it once: it is kept in memory and stored as soon as that is possible."""

    def full(_: Credentials) -> None:
        raise UsageError("/state: No space left on device")

    harness.store.on_save = full
    for _ in range(2):
        with pytest.raises(Unavailable, match="No space left on device; it is kept in memory"):
            harness.registrar.ensure()
    assert harness.rainbow.calls["register"] == 1
    assert harness.store.kept is None
    harness.store.on_save = lambda _: None
    assert harness.works()
    assert harness.rainbow.calls["register"] == 1
    assert harness.store.kept == Credentials("secret-number-1", "token-number-1")


def test_an_answer_that_was_lost_is_told(harness: Harness) -> None:
    """With when it was asked for, by every start, until there is a secret again."""
    harness.rainbow.fail("register", Unavailable("it broke"), after=True)
    harness.clock.advance(100.0)
    asked = when(harness.clock.now())
    with pytest.raises(Unavailable):
        harness.registrar.ensure()
    for _ in range(2):
        harness.clock.advance(50.0)
        harness.restart()
        with pytest.raises(Fatal, match=f"This agent asked for one at {asked}, and the answer"):
            harness.registrar.ensure()
    harness.store.kept = Credentials("secret-number-1", "token-number-1")  # what the operator found
    harness.restart()
    assert harness.works()


def test_a_name_that_another_has_is_not_called_an_answer_that_was_lost(harness: Harness) -> None:
    """This one never asked before."""
    harness.rainbow.register("blue", REGISTRATION_SECRET, "{}")
    for _ in range(2):
        with pytest.raises(Fatal) as caught:
            harness.registrar.ensure()
        assert "asked for one" not in str(caught.value)
        harness.restart()


def test_a_graph_that_outlived_its_row(harness: Harness) -> None:
    """075ee23 makes a row, then answers with an error: the secret is lost, and that is reported."""
    error = "cluster graph blue already exists and cannot be added again"
    harness.rainbow.fail("register", GraphExists(error), after=True)
    with pytest.raises(Fatal, match=r"kept the new secret to itself: .* then restart rainbow"):
        harness.registrar.ensure()


def test_a_store_that_is_full_while_it_runs_is_waited_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a first start the caller gets the error; later nothing is asked of rainbow until then."""

    def full() -> None:
        raise UsageError("/state: No space left on device")

    monkeypatch.setattr(harness.store, "check", full)
    with pytest.raises(UsageError):
        harness.registrar.ensure()
    monkeypatch.undo()
    session_error = harness.session_error(DENIED)
    harness.rainbow.restart(keep_database=False)
    monkeypatch.setattr(harness.store, "check", full)
    before = harness.rainbow.calls["register"]
    with pytest.raises(Unavailable, match="No space left"):
        harness.registrar.recover(session_error)
    assert harness.rainbow.calls["register"] == before
    monkeypatch.undo()
    harness.registrar.recover(session_error)
    assert harness.works()


def test_a_stored_session_is_there_without_rainbow(harness: Harness) -> None:
    """For a report right after the start; a cluster that has none is not registered by it."""
    harness.registrar.resume()
    assert harness.registrar.session is None
    session = harness.registrar.ensure()
    harness.restart()
    harness.rainbow.down = True
    harness.registrar.resume()
    assert harness.registrar.session == session
