"""What ReceiveJobs hands out, as offers: also rows that are not jobs.

A row is JSON: `{"id", "cluster", "name", "jobspec", "command"}`. Of what is longer than a jobspec
may be only the beginning is kept, and it is refused for its length like any other job.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from rainbow_agent.core.model import Offer
from rainbow_agent.jobspec.yamltext import MAX_TEXT

log = logging.getLogger(__name__)

#: Bytes of a row that is read as JSON. A jobspec may have MAX_TEXT characters; as JSON text it is
#: longer by what is escaped (line ends, quotes, `<`, `>` and `&`), twice that at most in practice.
MAX_JOB_ROW_BYTES: Final = 2 * MAX_TEXT + 64 * 1024
#: Bytes at a row's beginning where its name stands.
_NAME_WITHIN_BYTES: Final = 4096
#: Characters of another cluster's name that are kept.
_MAX_NAME_LENGTH: Final = 256


def offer(cluster: str, job_id: int, row: bytes) -> Offer:
    """A row as an offer.

    What is not a job for us keeps its raw text as jobspec, and says why.
    """
    if len(row) > MAX_JOB_ROW_BYTES:
        beginning = row[:MAX_TEXT].decode(errors="replace")
        part = Offer(job_id, _storable(_name(row[:_NAME_WITHIN_BYTES])), cluster, beginning)
        return _too_large(part, len(row), "bytes")
    try:
        fields = json.loads(row)
    except (ValueError, RecursionError) as exc:
        return Offer(job_id, "", cluster, _raw(row), f"rainbow's row is not JSON: {exc}")
    if not isinstance(fields, dict):
        problem = f"rainbow's row is not a JSON object but {type(fields).__name__}"
        return Offer(job_id, "", cluster, _raw(row), problem)
    name, owner, jobspec = fields.get("name"), fields.get("cluster"), fields.get("jobspec")
    name = _storable(name) if isinstance(name, str) else ""
    problem = _problem(cluster, job_id, fields)
    if not problem and isinstance(jobspec, str):
        command = _storable(str(fields.get("command") or ""))
        whole = Offer(job_id, name, cluster, jobspec, command=command)
        fits = len(jobspec) <= MAX_TEXT
        return whole if fits else _too_large(whole, len(jobspec), "characters")
    said = _storable(str(owner or cluster))[:_MAX_NAME_LENGTH]
    return Offer(job_id, name, said, _raw(row), problem)


def _problem(cluster: str, job_id: int, fields: Mapping[str, Any]) -> str:
    """Why a row is not a job for us; "" when it is one."""
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


def _raw(row: bytes) -> str:
    """A row's own text, as much as a jobspec may have, and one character to show that it is cut."""
    return row[: 4 * MAX_TEXT + 4].decode(errors="replace")[: MAX_TEXT + 1]


def _name(beginning: bytes) -> str:
    """The name in a row of which only the beginning is read."""
    text, found, _ = beginning.decode(errors="replace").partition(',"jobspec":')
    try:
        name = json.loads(text + "}")["name"] if found else ""
    except (ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


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
    return replace(offer, jobspec=offer.jobspec[: MAX_TEXT + 1], problem=problem)
