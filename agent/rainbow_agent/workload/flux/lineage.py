"""What of a Flux instance is still there when it was restarted with its state (`statedir`).

Two values in the primary namespace of the KVS, alike in 0.62 and 0.88, which both a clean end and
a checkpoint of the KVS carry over to the next instance:

- `resource.eventlog`, to which each instance appends (RFC 18 eventlog): the time of its first
  entry is that of the first start. (An upgrade from before 0.62 writes it anew, once.)
- `checkpoint.job-manager`: `max_jobid`, the highest id so far. The job manager writes it at its
  end, and in the transaction that purges the job with that id.

So an id above both that one and all in the journal is of a job that this state never had.
"""

from __future__ import annotations

import base64
import errno
import json
from typing import Any

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.lineage import Lineage
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection

_EVENTLOG = "resource.eventlog"
_CHECKPOINT = "checkpoint.job-manager"


def read(connection: Connection) -> Lineage:
    """The lineage of the instance; its name is empty where Flux has no such log (yet).

    Raises:
        WorkloadUnavailable: the KVS does not answer.
    """
    return Lineage(_first_entry(_lookup(connection, _EVENTLOG)), _last_id(connection))


def _first_entry(log: str) -> str:
    entry = _decoded(log.partition("\n")[0])
    return str(entry.get("timestamp", ""))


def _last_id(connection: Connection) -> int:
    found = _decoded(_lookup(connection, _CHECKPOINT)).get("max_jobid", 0)
    return found if isinstance(found, int) else 0


def _decoded(text: str) -> dict[str, Any]:
    """A JSON object; an empty one where there is no such thing."""
    try:
        found = json.loads(text) if text else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _lookup(connection: Connection, key: str) -> str:
    """A value of the primary namespace (flux_kvs_lookup(3)); "" if there is no such key."""
    request = connection.request("kvs.lookup", {"key": key, "namespace": "primary", "flags": 0})
    answer = connection.answer(request, ANSWER_SECONDS)
    if answer is None:
        raise WorkloadUnavailable(f"Flux at {connection.where} did not answer kvs.lookup of {key}")
    if answer.error == errno.ENOENT:
        return ""
    if answer.error:
        raise WorkloadUnavailable(f"Flux at {connection.where} cannot look up {key}: {answer.text}")
    # An RFC 11 tree object of type `val`: a large value comes as one, too.
    data = json.loads(answer.text)["val"].get("data", "")
    return base64.b64decode(data).decode(errors="replace")
