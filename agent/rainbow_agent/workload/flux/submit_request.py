"""Submissions as the JSON text that Flux takes (RFC 14), the host's environment encoded once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rainbow_agent.core.notation import f58
from rainbow_agent.core.workload_values import Submission

#: How the text begins while the environment, which is most of it, is left out.
_HEAD = '{"attributes": {"system": {"environment": null'


class RequestWriter:
    """Writes jobspecs; those that share one environment object share its encoding."""

    def __init__(self, queue: str = "") -> None:
        """`queue` is given to jobs that name none; "" leaves the choice to Flux."""
        self._queue = queue
        self._environment: Mapping[str, Any] | None = None
        self._encoded = "null"

    def text(self, submission: Submission) -> str:
        """The jobspec with its dependencies (RFC 26) and nothing else added."""
        jobspec = submission.jobspec
        attributes = jobspec["attributes"]
        system = attributes["system"]
        if self._queue and "queue" not in system:
            system = {**system, "queue": self._queue}
        if submission.afterok:
            dependencies = [{"scheme": "afterok", "value": f58(i)} for i in submission.afterok]
            system = {**system, "dependencies": dependencies}
        environment = system.get("environment")
        if not environment:
            return json.dumps({**jobspec, "attributes": {**attributes, "system": system}})
        # Places in a mapping are those of first mention: all three come first.
        system = {"environment": None, **system} | {"environment": None}
        attributes = {"system": None, **attributes} | {"system": system}
        text = json.dumps({"attributes": None, **jobspec} | {"attributes": attributes})
        return f"{_HEAD[:-4]}{self._encode(environment)}{text[len(_HEAD) :]}"

    def _encode(self, environment: Mapping[str, Any]) -> str:
        if environment is not self._environment:
            self._environment, self._encoded = environment, json.dumps(environment)
        return self._encoded
