"""Who said it, and who may read it: MACs, signatures, and sealing.

A MAC needs nothing but Python; `cryptography` is imported where something is signed, verified,
sealed or opened.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

#: Bytes of the secret from which a sender's keys are made.
SEED_BYTES: Final = 32
_KEY_BYTES: Final = 32
_SIGNS: Final = b"rainbow-agent sender 1 signs"
_OPENS: Final = b"rainbow-agent sender 1 opens"
_SEALS: Final = b"rainbow-agent answer 1 sealed"


def mac(nonce: bytes, signed: bytes) -> bytes:
    """What proves that whoever knows a job's nonce said this."""
    return hmac.digest(nonce, signed, hashlib.sha256)


def has_mac(nonce: bytes, signed: bytes, proof: bytes) -> bool:
    """Whether this is that proof."""
    return hmac.compare_digest(mac(nonce, signed), proof)


@dataclass(frozen=True)
class PublicKeys:
    """The halves of a sender's keys that travel with a job."""

    verify: bytes
    seal: bytes


class SenderKeys:
    """The halves that stay with the sender.

    Args:
        seed: SEED_BYTES random bytes, from which both are made.
    """

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519, x25519  # noqa: PLC0415

        self._sign = ed25519.Ed25519PrivateKey.from_private_bytes(_derived(seed, _SIGNS))
        self._open = x25519.X25519PrivateKey.from_private_bytes(_derived(seed, _OPENS))

    def public(self) -> PublicKeys:
        """The other halves."""
        return PublicKeys(
            self._sign.public_key().public_bytes_raw(), self._open.public_key().public_bytes_raw()
        )

    def sign(self, signed: bytes) -> bytes:
        """What proves that the sender said this."""
        return self._sign.sign(signed)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What seal() was given.

        Raises:
            ValueError: it was sealed for somebody else, or about something else, or was changed.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import x25519  # noqa: PLC0415

        try:
            theirs = x25519.X25519PublicKey.from_public_bytes(sealed[:_KEY_BYTES])
            shared = self._open.exchange(theirs)
            place = sealed[:_KEY_BYTES] + self.public().seal
            return _cipher(shared, place).decrypt(bytes(12), sealed[_KEY_BYTES:], about)
        except InvalidTag as exc:
            raise ValueError("it was not sealed for this key") from exc


def has_signature(verify: bytes, signed: bytes, proof: bytes) -> bool:
    """Whether the holder of the other half of `verify` signed this."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(verify).verify(proof, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def seal(key: bytes, content: bytes, about: bytes) -> bytes:
    """Content that only the holder of the other half of `key` can read.

    Args:
        key: the sender's, as it came with the job.
        content: what is to be read.
        about: what it belongs to; opened only with the same.

    Raises:
        ValueError: `key` is none.
    """
    from cryptography.hazmat.primitives.asymmetric import x25519  # noqa: PLC0415

    once = x25519.X25519PrivateKey.generate()
    ours = once.public_key().public_bytes_raw()
    shared = once.exchange(x25519.X25519PublicKey.from_public_bytes(key))
    # The key is used once, so that the cipher's own number may be zero.
    return ours + _cipher(shared, ours + key).encrypt(bytes(12), content, about)


def new_seed() -> bytes:
    """A new sender's."""
    return os.urandom(SEED_BYTES)


def _cipher(shared: bytes, place: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

    return ChaCha20Poly1305(_derived(shared, _SEALS, place))


def _derived(secret: bytes, purpose: bytes, place: bytes = b"") -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose + place).derive(secret)
