"""Which job a person means: by its number, or by a name that only one has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.monitoring.find_job import find_job
from rainbow_agent.runtime.settings import Settings, load
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import REGISTRATION, checked_ledger, offer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """Three jobs called `same`, one that has no other of its name."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.open_registration(REGISTRATION)
        offers = [offer(1, "same"), offer(2, "same"), offer(3, "same"), offer(4, "alone")]
        ledger.record_offers(REGISTRATION.id, offers, 1001.0)
        yield ledger


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"RAINBOW_STATE_DIR": str(tmp_path), "RAINBOW_CLUSTER": "blue"})


def test_by_number_or_name(ledger: SqliteLedger, settings: Settings) -> None:
    """The number counts first; a registration may stand before it."""
    by_number = find_job(ledger, "4", settings)
    assert by_number.id == 4
    assert find_job(ledger, "alone", settings) == by_number
    assert find_job(ledger, f"{by_number.registration}/4", settings) == by_number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("same", "choose one of: 3, 2, 1"),
        ("other", "neither the id nor the name of a job"),
        ("alone%", "neither the id nor the name of a job"),
        ("5", "no job 5"),
        ("", "neither the id nor the name of a job"),
    ],
)
def test_what_is_no_single_job_is_said(
    ledger: SqliteLedger, settings: Settings, text: str, words: str
) -> None:
    """With what there is to choose from."""
    with pytest.raises((UsageError, RainbowAgentError), match=words):
        find_job(ledger, text, settings)


def test_a_number_that_two_registrations_gave_is_told_apart(
    ledger: SqliteLedger, settings: Settings
) -> None:
    """As after a move to another rainbow: by name and time, and each by a word that finds it."""
    second = replace(REGISTRATION, id="5ec0d")
    ledger.open_registration(second)
    another = replace(offer(4, "alone"), jobspec="version: 1 # there")
    ledger.record_offers(second.id, [another, offer(1, "moved")], 1002.0)
    with pytest.raises(RainbowAgentError) as exc:
        find_job(ledger, "1", settings)
    assert f"{REGISTRATION.id}/1 (same, received 1970-01-01T00:16:41.000Z)" in str(exc.value)
    assert "5ec0d/1 (moved, received 1970-01-01T00:16:42.000Z)" in str(exc.value)
    assert find_job(ledger, "5ec0d/1", settings) == find_job(ledger, "moved", settings)
    with pytest.raises(UsageError, match=f"5ec0d/4, {REGISTRATION.id}/4"):
        find_job(ledger, "alone", settings)
