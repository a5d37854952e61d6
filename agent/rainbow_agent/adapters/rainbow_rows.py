"""What ReceiveJobs hands out, as offers: also rows that are no job, and rows of any size.

A row is JSON: `{"id", "cluster", "name", "jobspec", "command"}`. What is longer than a jobspec may
be is cut to just above that, so that it is refused for its length like any other job, and neither
memory nor the ledger holds it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rainbow_agent.errors import Rejected
from rainbow_agent.jobspec.yamltext import MAX_TEXT
from rainbow_agent.model import Offer

log = logging.getLogger(__name__)

#: Field numbers of ReceiveJobsResponse.jobs, and of an entry's key and value (rainbow.proto).
_JOBS: Final = 2
_KEY: Final = 1
_VALUE: Final = 2
#: Wire types (protobuf.dev/programming-guides/encoding): a number, and so many bytes.
_VARINT: Final = 0
_BYTES: Final = 2
#: Bytes in which a row's fields before `jobspec` stand; names are short.
_HEAD: Final = 4096
#: Characters of another cluster's name that are kept.
_LONGEST_NAME: Final = 256


def offer(cluster: str, job_id: int, row: str) -> Offer:
    """A row as an offer.

    What is no such row keeps its raw text as jobspec, and says why it is no job for us.
    """
    try:
        fields = json.loads(row)
    except (ValueError, RecursionError) as exc:
        return Offer(job_id, "", cluster, _cut(row, job_id), f"rainbow's row is no JSON: {exc}")
    if not isinstance(fields, dict):
        problem = f"rainbow's row is no JSON object but {type(fields).__name__}"
        return Offer(job_id, "", cluster, _cut(row, job_id), problem)
    name, owner, jobspec = fields.get("name"), fields.get("cluster"), fields.get("jobspec")
    name = _storable(name) if isinstance(name, str) else ""
    problem = _problem(cluster, job_id, fields)
    if not problem and isinstance(jobspec, str):
        return Offer(id=job_id, name=name, cluster=cluster, jobspec=_cut(jobspec, job_id))
    said = _storable(str(owner or cluster))[:_LONGEST_NAME]
    return Offer(job_id, name, said, _cut(_storable(row), job_id), problem)


def _problem(cluster: str, job_id: int, fields: Mapping[str, Any]) -> str:
    """Why a row is no job for us; "" when it is one."""
    owner, jobspec, own_id = fields.get("cluster"), fields.get("jobspec"), fields.get("id", job_id)
    if owner != cluster:
        said = repr(owner)[:80] if owner is not None else "no cluster"
        return f"rainbow's row is for {said}, not for cluster {cluster}"
    if not isinstance(jobspec, str):
        return "rainbow's row has no jobspec"
    if own_id != job_id or isinstance(own_id, bool):
        return f"rainbow's row is listed as job {job_id} and says that it is {repr(own_id)[:80]}"
    if _storable(jobspec) != jobspec:
        return "rainbow's row has a jobspec that is no Unicode text (a lone surrogate)"
    return ""


def _storable(text: str) -> str:
    """The text without lone surrogates, which JSON can write and neither UTF-8 nor sqlite can."""
    return text.encode("utf-8", "replace").decode()


def giants(cluster: str, reply: bytes) -> list[Offer]:
    """The offers in a ReceiveJobsResponse that is too large to be read whole.

    Args:
        cluster: whose jobs they are.
        reply: the message as it came.

    Raises:
        Rejected: it is no such message.
    """
    offers = []
    try:
        entries = sorted(_entries(memoryview(reply)))
    except IndexError as exc:
        raise Rejected(f"rainbow's answer of {len(reply)} bytes is no list of jobs") from exc
    for job_id, start, end in entries:
        _warn(job_id, end - start)
        # UTF-8 has at most four bytes a character.
        text = reply[start : min(end, start + 4 * MAX_TEXT + 4)].decode(errors="replace")
        name = _name(reply[start : min(end, start + _HEAD)])
        offers.append(Offer(id=job_id, name=name, cluster=cluster, jobspec=_cut(text)))
    return offers


def _entries(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Of each row: its id, and from where to where its text stands."""
    for number, wire, start, end in _fields(data, 0, len(data)):
        if (number, wire) != (_JOBS, _BYTES):
            continue
        job_id, place = 0, (end, end)
        for inner, kind, first, last in _fields(data, start, end):
            if (inner, kind) == (_KEY, _VARINT):
                job_id = first
            elif (inner, kind) == (_VALUE, _BYTES):
                place = (first, last)
        yield (job_id, *place)


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and place of each field; of a varint its value stands for the place."""
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value, at = _varint(data, at)  # rainbow's messages have only these two kinds
        if wire == _BYTES:
            yield number, wire, at, at + value
            at += value
        else:
            yield number, wire, value, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and where the next thing stands."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _name(head: bytes) -> str:
    """The name in a row of which only the beginning is read."""
    text, found, _ = head.decode(errors="replace").partition(',"jobspec":')
    try:
        name = json.loads(text + "}")["name"] if found else ""
    except (ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def _cut(text: str, job_id: int | None = None) -> str:
    if len(text) <= MAX_TEXT:
        return text
    if job_id is not None:
        _warn(job_id, len(text))
    return text[: MAX_TEXT + 1]


def _warn(job_id: int, size: int) -> None:
    log.warning(
        "Job %d is larger than a jobspec may be (%d bytes); it is kept in part, and refused",
        job_id,
        size,
        extra={"action": "job_too_large", "job": job_id, "bytes": size},
    )
