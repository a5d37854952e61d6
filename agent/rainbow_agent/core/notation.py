"""How ids, statuses and bytes are written, by Flux and in text.

Flux job ids as people read them are F58: base58 behind an `f` (RFC 19, "FLUID String Encoding").
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Sequence

#: Names before `and N more`.
_MAX_NAMED = 8


def exit_code(status: int | None) -> int | None:
    """A shell's exit code from a wait status (128 + n for signal n); None for None."""
    if status is None:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def bytes_to_text(data: bytes) -> str:
    """Base64 for URLs, without padding (RFC 4648)."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def text_to_bytes(text: str) -> bytes:
    """What bytes_to_text() made a text of.

    Raises:
        ValueError: of nothing.
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc


def listed(names: Sequence[str]) -> str:
    """Names in a line, the first of many: `a, b and 90 more`."""
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def idset(ids: Iterable[int]) -> str:
    """Numbers in Flux's notation: `0-3,7`."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in runs)


_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_PREFIXES = ("ƒ", "f")
_LARGEST = 2**64 - 1


def f58(flux_id: int) -> str:
    """A job id in F58 with the ASCII prefix, as in `fWVriCw`.

    Args:
        flux_id: an unsigned 64-bit job id.

    Raises:
        ValueError: it is not one.
    """
    if not 0 <= flux_id <= _LARGEST:
        raise ValueError(f"{flux_id} is not a Flux job id: it is not between 0 and 2**64 - 1")
    digits = ""
    rest = flux_id
    while True:
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
        if not rest:
            return "f" + digits


def parse_f58(text: str) -> int:
    """The job id that F58 text stands for; both prefixes, `ƒ` and `f`, are accepted.

    Raises:
        ValueError: the text is not F58, or its number has more than 64 bits.
    """
    digits = text[1:] if text.startswith(_PREFIXES) else ""
    if not digits or any(character not in _VALUES for character in digits):
        raise ValueError(f"{text!r} is not a Flux job id in F58: expected something like fWVriCw")
    flux_id = 0
    for character in digits:
        flux_id = flux_id * len(_ALPHABET) + _VALUES[character]
        if flux_id > _LARGEST:
            raise ValueError(f"{text!r} is not a Flux job id: it has more than 64 bits")
    return flux_id
