"""Whether new jobs are wanted (`rainbow-agent drain`, `resume`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rainbow_agent.core.model import Drain

log = logging.getLogger(__name__)


class DrainWatch:
    """Used by the main loop only.

    Args:
        read: reads the request to take none; None where there is none.
    """

    def __init__(self, read: Callable[[], Drain | None]) -> None:
        self._read = read
        self._drain: Drain | None = None

    @property
    def on(self) -> bool:
        """Whether no new jobs are taken, until the next look()."""
        return self._drain is not None

    def look(self) -> bool:
        """Read the request; True when it came or went."""
        before, self._drain = self._drain, self._read()
        if (before is None) == (self._drain is None):
            return False
        if self._drain is None:
            log.info("Taking new jobs again", extra={"action": "resumed"})
        else:
            because = f": {self._drain.reason}" if self._drain.reason else ""
            log.info("Taking no new jobs%s", because, extra={"action": "draining"})
        return True

    def facts(self) -> dict[str, Any]:
        """The key `draining` of runtime.json."""
        return {"draining": vars(self._drain) if self._drain else None}
