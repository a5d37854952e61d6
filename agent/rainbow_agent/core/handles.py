"""A job's handle: by what its sender asks about it, and where the answers go."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Final

#: What every inbox's name begins with: an agent sends rows to no other cluster.
INBOX_PREFIX: Final = "inbox-"

_ID: Final = re.compile(r"rb-[a-z2-7]{16}")
_INBOX: Final = re.compile(rf"{INBOX_PREFIX}[a-z0-9]([-a-z0-9]{{0,55}}[a-z0-9])?")


@dataclass(frozen=True)
class SenderAddress:
    """A sender's: an inbox, which somebody else's jobs may name, too, and their public key."""

    inbox: str
    verify: bytes


@dataclass(frozen=True)
class Handle:
    """What the agent needs to know of whoever sent a job."""

    id: str  # rb-...
    inbox: str  # the cluster that stands for the sender
    token: str = field(repr=False)  # submits to it
    verify: bytes  # Ed25519, public: what asks is signed with its other half
    seal: bytes  # X25519, public: answers are sealed for its other half
    nonce: bytes = field(repr=False)  # messages about the job are authenticated with it
    keep: int  # seconds after the job's end for which it is worth telling

    @property
    def address(self) -> SenderAddress:
        """Where messages about the job go."""
        return SenderAddress(self.inbox, self.verify)


def is_handle(text: str) -> bool:
    """Whether this has the form of a handle's id, as opposed to a job's number."""
    return _ID.fullmatch(text) is not None


def handle_id(random: bytes) -> str:
    """A handle's id from ten random bytes."""
    return "rb-" + base64.b32encode(random[:10]).decode().lower()


def is_inbox(cluster: str) -> bool:
    """Whether a cluster of this name is an inbox, which runs nothing."""
    return _INBOX.fullmatch(cluster) is not None
