"""What every rank runs to describe itself, and how its answer travels.

Node JSON of a large node is megabytes of text that hardly differs from line to line, and a
thousand nodes send it at once: it goes packed, in lines that a label can be put before.
"""

from __future__ import annotations

import base64
import binascii
import os
import signal
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from rainbow_compspec import overrides
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.host import Host

#: The first word of a line of ours; whatever else a rank prints is not the answer.
PART: Final = "rainbow-node"
END: Final = "rainbow-node-end"
PROBLEM: Final = "rainbow-node-problem"
_LINE_LENGTH: Final = 8000  # characters
#: More than this cannot be the description of a node.
MAX_PACKED_LENGTH: Final = 4 * 1024 * 1024  # characters
_MAX_TEXT_BYTES: Final = 64 * 1024 * 1024  # bytes

#: Runs main() with the module search path that follows, whatever PYTHONPATH says over there.
_PROGRAM_TEXT: Final = (
    "import sys; sys.path[:] = sys.argv[2:];"
    " from rainbow_agent.inventory.describe_node import main; main(float(sys.argv[1]))"
)


def command(limit: float) -> list[str]:
    """The command: this very Python with this very module search path, isolated (`-I`).

    Args:
        limit: seconds after which it ends itself, whatever hangs.
    """
    return [sys.executable, "-I", "-c", _PROGRAM_TEXT, str(limit), *filter(None, sys.path)]


def main(limit: float) -> None:
    """Describe this machine on standard output."""
    from rainbow_compspec import node  # noqa: PLC0415 - only the child needs it
    from rainbow_compspec.describe import describe  # noqa: PLC0415 - likewise

    # It is not caught: a probe that hangs in the kernel ends with the process.
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        text = node.dumps(describe(Host(), values=overrides.from_environ(os.environ)))
    except CompspecError as exc:
        print(PROBLEM, str(exc).replace("\n", " "), flush=True)  # noqa: T201 - this is the answer
        return
    print("\n".join(pack(text)), flush=True)  # noqa: T201 - this is the answer
    os._exit(0)  # a probe that was left behind must not keep the process


def pack(text: str) -> Iterator[str]:
    """The lines that carry a text."""
    packed = base64.b64encode(zlib.compress(text.encode(), 6)).decode("ascii")
    for start in range(0, len(packed), _LINE_LENGTH):
        yield f"{PART} {packed[start : start + _LINE_LENGTH]}"
    yield f"{END} {len(packed)}"


def unpack(parts: Sequence[str], length: str) -> str:
    """The text that lines carried.

    Args:
        parts: what followed PART, in order.
        length: what followed END.

    Raises:
        ValueError: something is missing or damaged; the message says what.
    """
    packed = "".join(parts)
    if length != str(len(packed)):
        raise ValueError(f"{len(packed)} characters of {length} came")
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(base64.b64decode(packed, validate=True), _MAX_TEXT_BYTES)
        if not reader.eof:
            raise ValueError(f"it is longer than {_MAX_TEXT_BYTES} bytes, or cut off")
        return text.decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError) as exc:
        raise ValueError(f"it came damaged: {exc}") from exc
