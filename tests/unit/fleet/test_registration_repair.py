"""Membership that rainbow or another program damaged while the agent had it."""

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
)
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.registration import DENIED_FOR_S, MAX_DENIALS
from rainbow_agent.fleet.session import SessionError
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
