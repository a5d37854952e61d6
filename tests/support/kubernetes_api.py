"""For tests: Kubernetes' API over a socket, for what is asked again and again.

`kubectl` takes half a second of a core for each question, and `kubectl exec` more. `kubectl proxy`
answers the same over a Unix socket, also what a pod serves over HTTP.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

#: Seconds; a pod that is gone does not answer.
_ANSWER_S: Final = 60.0
_PODS: Final = "/api/v1/namespaces/default/pods"


class _Connection(http.client.HTTPConnection):
    """Over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """As HTTPConnection's."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(str(self._path))


class Api:
    """What `kubectl proxy` answers.

    Args:
        path: of its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str) -> Any:
        """The JSON at a path of the API; None where it has none, or does not answer."""
        try:
            return json.loads(self._read(path))
        except ValueError:
            return None

    def _read(self, path: str) -> bytes:
        connection = _Connection(self._path)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read() if answer.status == http.client.OK else b""
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """The pods that a label selector is about."""
        found = self.get(f"{_PODS}?{urlencode({'labelSelector': selector})}")
        return list(found["items"]) if found else []

    def pod(self, name: str) -> dict[str, Any] | None:
        """A pod of this name; None where there is none."""
        found: dict[str, Any] | None = self.get(f"{_PODS}/{name}")
        return found

    def log(self, pod: str) -> str:
        """What a pod's container wrote; "" where there is none."""
        return self._read(f"{_PODS}/{pod}/log").decode(errors="replace")

    def served(self, pod: str, port: int, path: str) -> Any:
        """The JSON that a pod serves at a path; None where it does not."""
        return self.get(f"{_PODS}/{pod}:{port}/proxy/{path}")
