"""Membership in the fleet: one secret, kept first, healed when rainbow loses something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import (
    ClusterUnknown,
    Fatal,
    GraphExists,
    RequestDenied,
    Unavailable,
    UsageError,
)
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.session import Session, SessionError
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.setting_types import Secret
from support.ledger import checked_ledger
from support.registration import Harness
from support.scheduler import REGISTRATION_SECRET


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
