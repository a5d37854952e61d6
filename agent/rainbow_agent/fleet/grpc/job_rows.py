"""What ReceiveJobs hands out, as offers: also rows that are no job, and rows of any size.

A row is JSON: `{"id", "cluster", "name", "jobspec", "command"}`. What is longer than a jobspec may
be is cut to just above that, so that it is refused for its length like any other job, and neither
memory nor the ledger holds it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.model import Offer
from rainbow_agent.jobspec.yamltext import MAX_TEXT

log = logging.getLogger(__name__)

#: Field numbers of ReceiveJobsResponse.jobs, and of an entry's key and value (rainbow.proto).
_JOBS: Final = 2
_KEY: Final = 1
_VALUE: Final = 2
#: Wire types (protobuf.dev/programming-guides/encoding): a number, and so many bytes.
_VARINT: Final = 0
_BYTES: Final = 2
#: Bytes of a number of 64 bits at most.
_LONGEST_NUMBER: Final = 10
#: Fields looked at until one is found that is a row, and in a row.
_MOST_FIELDS: Final = 16
#: Bytes of a message in which all is that is kept of a row, four for each character at most.
ENOUGH: Final = 4 * MAX_TEXT + 4096
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
        return Offer(job_id, "", cluster, _cut(row), f"rainbow's row is not JSON: {exc}")
    if not isinstance(fields, dict):
        problem = f"rainbow's row is not a JSON object but {type(fields).__name__}"
        return Offer(job_id, "", cluster, _cut(row), problem)
    name, owner, jobspec = fields.get("name"), fields.get("cluster"), fields.get("jobspec")
    name = _storable(name) if isinstance(name, str) else ""
    problem = _problem(cluster, job_id, fields)
    if not problem and isinstance(jobspec, str):
        command = _storable(str(fields.get("command") or ""))
        whole = Offer(job_id, name, cluster, jobspec, command=command)
        fits = len(jobspec) <= MAX_TEXT
        return whole if fits else _too_large(whole, len(jobspec), "characters")
    said = _storable(str(owner or cluster))[:_LONGEST_NAME]
    return Offer(job_id, name, said, _cut(_storable(row)), problem)


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
        return "rainbow's row has a jobspec that is not Unicode text (a lone surrogate)"
    return ""


def _storable(text: str) -> str:
    """The text without lone surrogates, which JSON can write and neither UTF-8 nor sqlite can."""
    return text.encode("utf-8", "replace").decode()


def giant(cluster: str, head: bytes) -> Offer:
    """The one row in a ReceiveJobsResponse of which only the beginning was read.

    Args:
        cluster: whose job it is.
        head: the first bytes of the message, ENOUGH of them or all.

    Raises:
        Rejected: its id is not in them.
    """
    try:
        found = _first_row(memoryview(head))
    except IndexError:  # it ends in the middle of a number, or what stands there is none
        found = None
    if found is None:
        raise Rejected("rainbow's answer is too large, and no list of jobs that can be read")
    job_id, first, last = found
    # UTF-8 has at most four bytes a character.
    text = head[first : min(last, first + 4 * MAX_TEXT + 4)].decode(errors="replace")
    name = _storable(_name(head[first : first + _HEAD]))
    return _too_large(Offer(job_id, name, cluster, text), last - first, "bytes")


def _first_row(head: memoryview) -> tuple[int, int, int] | None:
    """Its id, and from where to where its text stands; None when it is not there."""
    for number, wire, start, end in islice(_fields(head, 0, len(head)), _MOST_FIELDS):
        if (number, wire) == (_JOBS, _BYTES):
            inside = islice(_fields(head, start, min(end, len(head))), _MOST_FIELDS)
            entry = {(n, w): (first, last) for n, w, first, last in inside}
            if (_KEY, _VARINT) in entry and (_VALUE, _BYTES) in entry:
                (job_id, _), text = entry[_KEY, _VARINT], entry[_VALUE, _BYTES]
                return (_int32(job_id), *text)
    return None


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


def _int32(value: int) -> int:
    """A number of the wire as the signed one of 32 bits that protobuf makes of it."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and where the next thing stands.

    Raises:
        IndexError: it is longer than numbers are, or the data ends in it.
    """
    value = 0
    for place in range(_LONGEST_NUMBER):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError("a number of more than 64 bits")


def _name(head: bytes) -> str:
    """The name in a row of which only the beginning is read."""
    text, found, _ = head.decode(errors="replace").partition(',"jobspec":')
    try:
        name = json.loads(text + "}")["name"] if found else ""
    except (ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def _cut(text: str) -> str:
    return text[: MAX_TEXT + 1]


def _too_large(offer: Offer, size: int, unit: str) -> Offer:
    """Of what is longer than a jobspec may be: its beginning, and why it is not run."""
    problem = (
        f"the job is {size:,} {unit} long, more than is read of one (a jobspec may have"
        f" {MAX_TEXT:,} characters); only its beginning is kept"
    )
    log.warning(
        "Job %d is larger than a jobspec may be (%d %s); it is kept in part, and refused",
        offer.id,
        size,
        unit,
        extra={"action": "job_too_large", "job": offer.id, "size": size},
    )
    return replace(offer, jobspec=_cut(offer.jobspec), problem=problem)
