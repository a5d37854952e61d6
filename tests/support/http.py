"""For tests: what is asked of a running agent over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from support.common import eventually
from support.program import Program


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def value(self) -> Any:
        """The JSON that it is."""
        return json.loads(self.text)


class Visitor:
    """Somebody who looks. The address is asked of runtime.json: tests use port 0."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def url(self) -> str:
        """Where the agent serves, once it does."""
        eventually(self._address, "it tells where it serves")
        return f"http://{self._address()}"

    def get(self, path: str, *, seconds: float = 120.0, **headers: str) -> Reply:
        """Ask. An answer is an answer, whatever its code.

        Raises:
            OSError: there is none.
        """
        asked = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=seconds) as found:
                return Reply(found.status, dict(found.headers), found.read().decode())
        except urllib.error.HTTPError as exc:
            with exc:
                return Reply(exc.code, dict(exc.headers), exc.read().decode())

    def wrong(self, path: str) -> list[str]:
        """The checks of /livez or /readyz that are not ok."""
        checks = self.get(f"{path}?format=json").value["checks"]
        return [check["name"] for check in checks if not check["ok"]]

    def _address(self) -> Any:
        try:
            facts = json.loads((self._program.state_dir / "runtime.json").read_text())
        except (OSError, ValueError):
            return None
        return (facts.get("http") or {}).get("address")
