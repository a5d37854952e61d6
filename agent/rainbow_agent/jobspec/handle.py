"""The handle of a job: by what its sender asks about it, and where the answers go. Pure.

It is one line at the very end of the jobspec's text, an attribute that rainbow's matcher and other
receivers pass over (docs/decisions/0120). Only what stands exactly there is a handle, so that a
script that quotes one is none, and a jobspec without one is not parsed for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from rainbow_agent.core.handles import Handle, is_handle, is_inbox
from rainbow_agent.core.notation import bytes_to_text, text_to_bytes

#: The attribute's name.
HANDLE_ATTRIBUTE: Final = "rainbow-agent"
KEY_BYTES: Final = 32

_TOKEN: Final = re.compile(r"[\x21\x23-\x7e]{1,500}")
_VERSION: Final = "h1."
_LINE: Final = re.compile(rf"  {HANDLE_ATTRIBUTE}: (h1\.[A-Za-z0-9_-]{{1,4000}})")
#: Seconds for which answers can be asked to be kept at most.
MAX_KEEP_S: Final = 366 * 86400


def attach(document: Mapping[str, Any], handle: Handle) -> dict[str, Any]:
    """The jobspec with the handle as its last attribute; one that it had is replaced."""
    found = document.get("attributes")
    attributes = dict(found) if isinstance(found, Mapping) else {}
    attributes.pop(HANDLE_ATTRIBUTE, None)
    rest = {key: value for key, value in document.items() if key != "attributes"}
    return {**rest, "attributes": {**attributes, HANDLE_ATTRIBUTE: _encode(handle)}}


def find(text: str) -> Handle | None:
    """The handle in a jobspec's text as `submit` writes it; None where there is none."""
    if HANDLE_ATTRIBUTE not in text:
        return None
    line = _last_line(text)
    if line is None:
        return None
    return _decode(line[1])


def without_handle(text: str) -> str:
    """The text as it is shown: the handle's line says whose it is, and nothing that is secret."""
    handle = find(text)
    line = _last_line(text)
    if handle is None or line is None:
        return text
    return f"{text[: line.start(1)]}{handle.id}{text[line.end(1) :]}"


def without_line(text: str) -> str:
    """The text without the handle's line, so that copies of one jobspec are one text again.

    Their plan is the same: a handle says nothing about it.
    """
    if HANDLE_ATTRIBUTE not in text:
        return text
    line = _last_line(text)
    if line is None:
        return text
    key = text.rfind("\n", 0, line.start() - 1) + 1
    alone = text[key : line.start()].rstrip() == "attributes:"
    return text[: key if alone else line.start()]


def _last_line(text: str) -> re.Match[str] | None:
    end = len(text.rstrip("\n"))
    start = text.rfind("\n", 0, end) + 1
    line = _LINE.fullmatch(text[start:end])
    if line is None:
        return None
    if _key_above(text, start) != "attributes:":
        return None
    return _LINE.match(text, start, end)


def _key_above(text: str, end: int) -> str:
    """The last line before `end` that is not indented: the key under which what follows stands."""
    while end > 0:
        start = text.rfind("\n", 0, end - 1) + 1
        first = text[start]
        if first != "#" and not first.isspace():
            return text[start:end].rstrip()
        end = start
    return ""


def _encode(handle: Handle) -> str:
    values = {
        "id": handle.id,
        "inbox": handle.inbox,
        "token": handle.token,
        "keep": handle.keep,
        **{name: bytes_to_text(getattr(handle, name)) for name in ("verify", "seal", "nonce")},
    }
    return _VERSION + bytes_to_text(json.dumps(values, separators=(",", ":")).encode())


def _decode(text: str) -> Handle | None:
    try:
        values = json.loads(text_to_bytes(text.removeprefix(_VERSION)))
        handle = Handle(
            id=str(values["id"]),
            inbox=str(values["inbox"]),
            token=str(values["token"]),
            keep=int(values["keep"]),
            **{name: text_to_bytes(values[name]) for name in ("verify", "seal", "nonce")},
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    whole = (
        is_handle(handle.id)
        and is_inbox(handle.inbox)
        and _TOKEN.fullmatch(handle.token) is not None
        and 0 <= handle.keep <= MAX_KEEP_S
        and all(len(key) == KEY_BYTES for key in (handle.verify, handle.seal, handle.nonce))
    )
    return handle if whole else None
