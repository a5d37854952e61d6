"""MACs, signatures and sealing: only the right key, about the right thing."""

from __future__ import annotations

import pytest

from rainbow_agent.fleet.messages.keys import (
    SenderKeys,
    has_mac,
    has_signature,
    mac,
    new_seed,
    seal,
)
from support.senders import KEYS


def test_a_mac_is_of_one_nonce_and_one_text() -> None:
    """Another nonce or another text has another."""
    proof = mac(b"n" * 32, b"said")
    assert has_mac(b"n" * 32, b"said", proof)
    assert not has_mac(b"m" * 32, b"said", proof)
    assert not has_mac(b"n" * 32, b"says", proof)
    assert not has_mac(b"n" * 32, b"said", proof[:-1])


def test_only_the_sender_signs() -> None:
    """With their own key, for what they said."""
    proof = KEYS.sign(b"cancel")
    assert has_signature(KEYS.public().verify, b"cancel", proof)
    assert not has_signature(KEYS.public().verify, b"fetch", proof)
    assert not has_signature(SenderKeys(new_seed()).public().verify, b"cancel", proof)
    assert not has_signature(b"short", b"cancel", proof)
    assert not has_signature(KEYS.public().verify, b"cancel", b"")


def test_only_the_sender_opens_what_is_sealed() -> None:
    """Each time another text, of which nothing may be changed."""
    sealed, again = (seal(KEYS.public().seal, b"output", b"about") for _ in range(2))
    assert sealed != again
    assert b"output" not in sealed
    assert KEYS.open(sealed, b"about") == b"output"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for text, about in (
        (sealed, b"other"),
        (changed, b"about"),
        (b"", b"about"),
        (again[:40], b""),
    ):
        with pytest.raises(ValueError, match=r"."):
            KEYS.open(text, about)
    with pytest.raises(ValueError, match="not sealed for this key"):
        SenderKeys(new_seed()).open(sealed, b"about")


def test_keys_are_the_same_from_one_seed() -> None:
    """The sender's file has nothing else."""
    assert SenderKeys(bytes(range(32))).public() == KEYS.public()
    assert KEYS.public().verify != KEYS.public().seal
