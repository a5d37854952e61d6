"""The files that a job's jobspec names as its results, as its cluster's agent reads them.

They are read where the agent runs: on a file system that the nodes share, or of tasks that ran on
the agent's own node.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.runtime.beneath import find, open_file, open_folder

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
            return _listing(root, attributes.results, limit)
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


def _chosen(
    root: int, patterns: Sequence[str], limit: int
) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """Bytes of each file that is handed out, and the others with theirs."""
    chosen: dict[str, int] = {}
    others: list[tuple[str, int]] = []
    total = 0
    for name in find(root, patterns):
        try:
            file = open_file(root, name)
        except OSError:
            continue  # gone meanwhile, or closed to us: it is no result
        size = os.fstat(file).st_size
        os.close(file)
        if total + size > limit or len(chosen) == MAX_FILES:
            others.append((name, size))
            continue
        total += size
        chosen[name] = size
    return chosen, others


def _listing(root: int, patterns: Sequence[str], limit: int) -> dict[str, Any]:
    chosen, others = _chosen(root, patterns, limit)
    files: list[list[Any]] = []
    for name in chosen:
        with suppress(FileNotFoundError), os.fdopen(open_file(root, name), "rb") as content:
            size = os.fstat(content.fileno()).st_size
            files.append([name, size, digest_of(content)])
    return {"files": files, "left_out": [list(each) for each in others[:MAX_FILES]]}


def _piece(
    root: int, patterns: Sequence[str], asked: Mapping[str, Any], limit: int
) -> dict[str, Any]:
    name, offset = asked.get("name"), asked.get("offset")
    if not isinstance(name, str) or not isinstance(offset, int) or not 0 <= offset <= limit:
        return {"error": "the question is of another version"}
    if name not in _chosen(root, patterns, limit)[0]:
        return {"error": f"{name[:80]!r} is none of the results that are handed out"}
    with os.fdopen(open_file(root, name), "rb") as content:
        content.seek(offset)
        data = content.read(min(PIECE_BYTES, limit - offset))
    return {"data": base64.b64encode(data).decode()}
