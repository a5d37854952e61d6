"""What a sender's folder holds beside the jobs: the inbox that they have, and their keys."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.handles import is_inbox
from rainbow_agent.fleet.messages.keys import SEED_BYTES, SenderKeys, new_seed
from rainbow_agent.runtime.files import replacing

INBOX_FILE: Final = "inbox.yaml"
_KEY_FILE: Final = "sender.key"


@dataclass(frozen=True)
class InboxAccess:
    """An inbox: where it is, what reads it, and what writes to it."""

    name: str
    host: str  # host:port of the rainbow that has it
    secret: str = field(repr=False)
    token: str = field(repr=False)


def load_inbox(path: Path) -> InboxAccess | None:
    """The inbox in a file that `inbox create` wrote; None where there is no file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        entry = document["inbox"]
        found = InboxAccess(*(str(entry[key]) for key in ("name", "host", "secret", "token")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise UsageError(f"inbox file {path}: cannot read it: {exc.strerror}") from exc
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as exc:
        raise UsageError(
            f"{path} is not an inbox's file: `rainbow-agent inbox create NAME` writes one"
        ) from exc
    if not is_inbox(found.name):
        raise UsageError(f"{path}: {found.name[:80]!r} is not an inbox's name (inbox-...)")
    return found


def save_inbox(path: Path, inbox: InboxAccess) -> None:
    """Write an inbox's file, mode 0600; on the disk when this returns.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path, durable=True) as file:
            file.write("# What reads this inbox: keep it to yourself.\n")
            yaml.safe_dump({"inbox": vars(inbox)}, file, sort_keys=False)
    except OSError as exc:
        raise UsageError(f"inbox file {path}: cannot write it: {exc.strerror}") from exc


def check_writable(path: Path) -> None:
    """See that an inbox's file can be written, before rainbow gives a secret that it gives once.

    Raises:
        UsageError: it cannot.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path.with_name(f"{path.name}.tried")):
            pass
        path.with_name(f"{path.name}.tried").unlink()
    except OSError as exc:
        raise UsageError(f"inbox file {path}: cannot write it: {exc.strerror}") from exc


def sender_keys(folder: Path) -> SenderKeys:
    """The sender's keys; made when they are needed for the first time, and kept, mode 0600.

    Raises:
        UsageError: they cannot be read or written.
    """
    path = folder / _KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            fresh = path.with_name(f"{_KEY_FILE}.{os.getpid()}")
            with replacing(fresh, durable=True) as file:
                file.write(new_seed().hex() + "\n")
            try:
                path.hardlink_to(fresh)
            except FileExistsError:
                pass  # another process was quicker, and its keys are the sender's
            finally:
                fresh.unlink()
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as exc:
        raise UsageError(f"the sender's keys, {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"{path} holds no key: put the right one back") from exc
    if len(seed) != SEED_BYTES:
        raise UsageError(f"{path} holds no key: put the right one back")
    return SenderKeys(seed)
