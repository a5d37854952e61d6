"""Messages as rows of rainbow's list of jobs: their text, and what is signed of it. Pure.

The text is YAML without double quotes, as SubmitJob needs it, and a jobspec without a task: a
receiver that does not know it has nothing to run.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from rainbow_agent.core.handles import is_handle
from rainbow_agent.core.notation import bytes_to_text, text_to_bytes

#: The name of every such row.
ROW_NAME: Final = "rainbow-agent message"
#: Bytes that the content of one part may have, unpacked: more is not looked at.
MAX_CONTENT_BYTES: Final = 2 * 1024 * 1024
#: zlib's window, as a power of two, and its smallest tables for a content that fits into it, as a
#: job's state does: to set up the usual 256 KiB takes several times as long as to pack that.
_SMALL_BITS: Final = 12
_SMALL_TABLES: Final = 1
#: Rows that wait for a sender who has not said that they took them: with so many an agent tells
#: them nothing more until they do.
MAX_UNREAD: Final = 100
#: Parts that one row may have.
MAX_PARTS: Final = 1024

#: A jobspec with nothing to run. Upstream's receiver has accepted all rows of an answer when it
#: reads the first: it does nothing for this one, and goes on with the next (decision 0120).
_HEAD: Final = (
    "# No job: agents and those who sent jobs tell each other about them.\nversion: 1\ntasks: []\n"
)
_WORD: Final = re.compile(r"[-a-z0-9]{1,63}")
_PART: Final = re.compile(
    r"- (state|ask|answer) (rb-[a-z2-7]{16}) ([A-Za-z0-9_-]+) ([A-Za-z0-9_-]+)"
)


class Kind(str, Enum):
    """What a part of a message is."""

    STATE = "state"  # an agent tells how a job is; its proof is a MAC
    ASK = "ask"  # the sender asks something; its proof is a signature
    ANSWER = "answer"  # an agent answers that; sealed, and its proof is a MAC


@dataclass(frozen=True)
class Part:
    """Something about one job."""

    kind: Kind
    handle: str
    body: bytes
    proof: bytes  # of signed()


@dataclass(frozen=True)
class Message:
    """What one row says."""

    to: str  # a cluster: the inbox, or the one that has the job
    by: str  # likewise
    parts: tuple[Part, ...]


def signed(to: str, by: str, kind: Kind, handle: str, body: bytes) -> bytes:
    """The bytes that a part's proof is of: what it says, about what, from where and to whom."""
    place = "\0".join(("rainbow-agent message 1", to, by, kind.value, handle, ""))
    return place.encode() + body


def pack(content: Mapping[str, Any]) -> bytes:
    """A part's content as its body."""
    text = json.dumps(content, separators=(",", ":")).encode()
    if len(text) > 1 << _SMALL_BITS:
        return zlib.compress(text)
    small = zlib.compressobj(wbits=_SMALL_BITS, memLevel=_SMALL_TABLES)
    return small.compress(text) + small.flush()


def unpack(body: bytes) -> dict[str, Any]:
    """A part's content.

    Raises:
        ValueError: it is none, or larger than MAX_CONTENT_BYTES.
    """
    try:
        unzip = zlib.decompressobj()
        text = unzip.decompress(body, MAX_CONTENT_BYTES)
        if not unzip.eof:
            raise ValueError("it is cut off, or too large")
        content = json.loads(text)
    except (zlib.error, RecursionError) as exc:
        raise ValueError(str(exc)) from exc
    if not isinstance(content, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - of what was sent, not a type here
    return content


def write(message: Message) -> str:
    """The text of a row."""
    lines = (
        f"- {part.kind.value} {part.handle}"
        f" {bytes_to_text(part.body)} {bytes_to_text(part.proof)}\n"
        for part in message.parts
    )
    head = f"rainbow-agent: message\nto: {message.to}\nby: {message.by}\nparts:\n"
    return _HEAD + head + "".join(lines)


def read(name: str, text: str) -> Message | None:
    """The message in a row; None where it is a job: only what is word for word a message is one."""
    if name != ROW_NAME or not text.startswith(_HEAD):
        return None
    lines = text.removeprefix(_HEAD).split("\n")
    if len(lines) < 5 or lines[0] != "rainbow-agent: message" or lines[3] != "parts:":
        return None
    to, by = lines[1].removeprefix("to: "), lines[2].removeprefix("by: ")
    parts = [_part(line) for line in lines[4 : MAX_PARTS + 4] if line]
    whole = [part for part in parts if part is not None]
    message = Message(to, by, tuple(whole))
    if len(whole) != len(parts) or not is_message(message):
        return None
    return message if text == write(message) else None


def is_message(message: Message) -> bool:
    """Whether names, handles and the number of parts are those of a message."""
    return bool(
        _WORD.fullmatch(message.to)
        and _WORD.fullmatch(message.by)
        and len(message.parts) <= MAX_PARTS
        and all(is_handle(part.handle) for part in message.parts)
    )


def _part(line: str) -> Part | None:
    found = _PART.fullmatch(line)
    if found is None:
        return None
    try:
        return Part(Kind(found[1]), found[2], text_to_bytes(found[3]), text_to_bytes(found[4]))
    except ValueError:
        return None


def portions(parts: Sequence[Part], max_parts: int, max_bytes: int) -> list[tuple[Part, ...]]:
    """Parts in rows of at most so many, and of about so many bytes; a larger one stands alone."""
    found: list[list[Part]] = []
    size = max_bytes
    for part in parts:
        size += len(part.body)
        if not found or size > max_bytes or len(found[-1]) >= max_parts:
            found.append([])
            size = len(part.body)
        found[-1].append(part)
    return [tuple(portion) for portion in found]
