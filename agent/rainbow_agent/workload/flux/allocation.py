"""Which nodes of the instance around it a Flux instance is on."""

from __future__ import annotations

import json
from contextlib import closing

from rainbow_agent.workload.flux import bindings, resources
from rainbow_agent.workload.flux.connection import Connection


def ranks_of(uri: str, job: int) -> list[int]:
    """The broker ranks that a job was given, in order: those of its own instance count from 0.

    A nested instance has one broker on each node of its job, numbered as the job shell numbers
    them, in the order of R (RFC 20).

    Args:
        uri: of the instance that the job is in.
        job: its id there.

    Raises:
        WorkloadUnavailable: the instance cannot be reached, or the job has no R.
    """
    with closing(Connection(uri)) as connection:
        answer = connection.call("job-info.lookup", {"id": job, "keys": ["R"], "flags": 0})
    decode = resources.codecs(bindings.load())
    return resources.ranks(json.loads(answer["R"]), decode)
