"""What a registration is called."""

from __future__ import annotations

import hashlib


def registration_id(secret: str) -> str:
    """The id of the registration that a cluster secret belongs to: 12 hexadecimal digits.

    Derived, not stored: whoever holds the secret computes the same id after any crash, and a new
    secret is a new registration. The secret (a random UUID, 122 bits) cannot be found from it;
    the prefix keeps the digest apart from any other use of SHA-256 on the same secret. 48 bits
    tell the handful of registrations that one ledger ever sees apart.
    """
    return hashlib.sha256(b"rainbow-agent/registration/1\0" + secret.encode()).hexdigest()[:12]
