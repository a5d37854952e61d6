"""When a cluster may be registered again: when it goes unnoticed, and nothing would run twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.renewal import Renewal, quiet, renew, rotate_secret, settled
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rebuild import REBUILD, STRAYS
from support.common import FakeClock, FakeCredentialStore
from support.ledger import checked_ledger
from support.scheduler import REGISTRATION_SECRET, FakeScheduler

SHARED, OWN = "jellaytime", "468b2c1c-0f37-4c1b-9d5a-3a8b1f2c4d5e"


class Token:
    """Where the token is."""

    def __init__(self, token: str = SHARED) -> None:
        self._token = token

    def token(self) -> str:
        """As KnowsToken."""
        return self._token


class Ownership:
    """One that may or may not be renewed, and wants a fence."""

    def __init__(self) -> None:
        self.may = True
        self.secret_rotation_due = True
        self.announced: list[str] = []

    def found(self, registration: str, *, known: bool) -> None:
        """As ports.OwnershipEvents."""

    def registered(self, registration: str) -> None:
        """As ports.OwnershipEvents."""
        self.announced.append(registration)

    def replaced(self, registration: str) -> None:
        """As ports.OwnershipEvents."""

    def may_renew(self) -> bool:
        """As ports.OwnershipEvents."""
        return self.may

    def mark_secret_rotated(self) -> None:
        """As renewal.SecretOwner."""
        self.secret_rotation_due = False


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def ownership() -> Ownership:
    return Ownership()


@pytest.fixture
def registrar(ledger: SqliteLedger, ownership: Ownership) -> Registrar:
    """Of a cluster that is registered."""
    made = Registrar(
        cluster="blue",
        host="h:1",
        secret=Secret(REGISTRATION_SECRET),
        secret_source="the test",
        scheduler=FakeScheduler(),
        store=FakeCredentialStore(),
        ledger=ledger,
        graph=lambda: "{}",
        registration_id="of {}".format,
        clock=FakeClock(),
        ownership=ownership,
    )
    made.ensure()
    return made


def test_a_ledger_that_was_rebuilt_is_not_quiet_at_once(ledger: SqliteLedger) -> None:
    """Rainbow may still offer, under this registration, what is half in Flux already."""
    assert quiet(ledger, "r")
    ledger.put_note(REBUILD, {"since": "now", "because": "it broke", "aside": None})
    assert not quiet(ledger, "r")
    ledger.put_note(STRAYS, [{"job": 1}])
    settled(ledger)
    assert not quiet(ledger, "r"), "tasks in Flux whose job did not come yet"
    ledger.put_note(STRAYS, [])
    settled(ledger)
    assert quiet(ledger, "r")
    assert ledger.note(REBUILD)["because"] == "it broke", "status tells it on"


def test_others_hear_of_us_first(
    registrar: Registrar, ledger: SqliteLedger, ownership: Ownership
) -> None:
    """While somebody may wait for an answer under this secret, it stays."""
    before = registrar.session
    ownership.may = False
    assert renew(registrar, ledger, Token()) is Renewal.LATER
    assert registrar.session == before
    ownership.may = True
    assert renew(registrar, ledger, Token()) is Renewal.DONE
    assert registrar.session != before


def test_a_fence_is_another_secret(
    registrar: Registrar, ledger: SqliteLedger, ownership: Ownership
) -> None:
    """Once: the registrar tells the claim, which wants none any more then."""
    before = registrar.session
    rotate_secret(ownership, registrar, ledger, Token())
    assert registrar.session != before
    assert len(ownership.announced) == 2
    ownership.secret_rotation_due = False
    now = registrar.session
    rotate_secret(ownership, registrar, ledger, Token())
    assert registrar.session == now


def test_where_there_can_be_none_it_is_said(
    registrar: Registrar,
    ledger: SqliteLedger,
    ownership: Ownership,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A token of its own would change with it, and every submitter would be denied."""
    before = registrar.session
    rotate_secret(ownership, registrar, ledger, Token(OWN))
    assert registrar.session == before
    assert not ownership.secret_rotation_due
    assert "cannot be changed from here" in caplog.text
