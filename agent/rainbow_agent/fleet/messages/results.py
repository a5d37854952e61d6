"""The files that a job's jobspec names as its results, as its cluster's agent reads them.

They are read where the agent runs: on a file system that the nodes share, or of tasks that ran on
the agent's own node.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.runtime.beneath import find, is_beneath, matches, open_file, open_folder

#: Files of one job, and bytes of one answer's piece.
MAX_FILES: Final = 1000
PIECE_BYTES: Final = 1024 * 1024


def answer(text: str, asked: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """The answer to a question for results.

    Args:
        text: the jobspec.
        asked: `results`: all of them; `file`: the piece of `name` from `offset` on.
        limit: bytes of all of them that are handed out at most; 0: none.

    Returns:
        `files`, each a name, bytes and SHA-256, and `left_out`, each a name and bytes; or `data`,
        in base64; or `error`.
    """
    try:
        attributes = parse(text).attributes
        if not attributes.results or attributes.cwd is None:
            return {"error": "the jobspec names no files as results (attributes.results)"}
        if not limit:
            return {"error": "this cluster hands out no files (RAINBOW_RESULTS_MAX)"}
        root = open_folder(Path(attributes.cwd))
        try:
            if asked.get("ask") == "file":
                return _piece(root, attributes.results, asked, limit)
            return _listing(root, find(root, attributes.results), limit)
        finally:
            os.close(root)
    except (JobspecError, ValueError) as exc:
        return {"error": str(exc)}
    except OSError as exc:
        return {"error": f"{exc.filename or 'a result'}: {exc.strerror}"}


def digest_of(content: BinaryIO) -> str:
    """The SHA-256 of an open file from its beginning, in hexadecimal digits."""
    digest = hashlib.sha256()
    content.seek(0)
    while data := content.read(PIECE_BYTES):
        digest.update(data)
    return digest.hexdigest()


def _listing(root: int, names: list[str], limit: int) -> dict[str, Any]:
    files: list[list[Any]] = []
    left_out: list[list[Any]] = []
    total = 0
    for name in names:
        try:
            file = open_file(root, name)
        except OSError:
            continue  # gone meanwhile, or closed to us: it is no result
        with os.fdopen(file, "rb") as content:
            size = os.fstat(content.fileno()).st_size
            if total + size > limit or len(files) == MAX_FILES:
                left_out.append([name, size])
                continue
            total += size
            files.append([name, size, digest_of(content)])
    return {"files": files, "left_out": left_out[:MAX_FILES], "limit": limit}


def _piece(
    root: int, patterns: Sequence[str], asked: Mapping[str, Any], limit: int
) -> dict[str, Any]:
    name, offset = asked.get("name"), asked.get("offset")
    if not isinstance(name, str) or not isinstance(offset, int) or not 0 <= offset <= limit:
        return {"error": "the question is of another version"}
    if not is_beneath(name) or not any(matches(name, pattern) for pattern in patterns):
        return {"error": f"{name[:80]!r} is none of the job's results"}
    with os.fdopen(open_file(root, name), "rb") as content:
        content.seek(offset)
        data = content.read(min(PIECE_BYTES, limit - offset))
    return {"data": base64.b64encode(data).decode()}
