"""What a registration is called."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.fleet.credentials import registration_id


def test_the_id_of_a_secret_never_changes() -> None:
    """Ledgers on disk hold it: a new way of computing it would orphan their jobs."""
    assert registration_id("468b2c1c-1e6c-4b6a-9c5e-0d5b1c3f2a10") == "bda8ec7ef3a1"


@given(st.text(), st.text())
def test_different_secrets_have_different_ids(one: str, other: str) -> None:
    """The id says which secret, in 12 hexadecimal digits."""
    assert re.fullmatch("[0-9a-f]{12}", registration_id(one))
    assert (registration_id(one) == registration_id(other)) is (one == other)


@given(st.text())
def test_the_id_is_not_the_secrets_plain_digest(secret: str) -> None:
    """SHA-256 of a secret, published elsewhere, does not reveal this."""
    assert not hashlib.sha256(secret.encode()).hexdigest().startswith(registration_id(secret))
