"""Writes runtime.json, from which `rainbow-agent status` reads, and the service manager's line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from rainbow_agent import __version__
from rainbow_agent.core.ports import Clock
from rainbow_agent.daemon.systemd import Notifier
from rainbow_agent.monitoring.status import settings_of_run, status_line
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import runtime_file
from rainbow_agent.workload.choose import Choice

log = logging.getLogger(__name__)

#: Seconds between two writes at least; what is held back is written when they have passed.
MIN_INTERVAL_S: Final = 1.0
#: Seconds between two writes at most, however little happens.
HEARTBEAT_S: Final = 5.0
#: What runtime.json says while no daemon runs in this process: the ledger broke.
_NOTHING_KNOWN: Final[Mapping[str, Any]] = {
    "registration": None,
    "rainbow": {},
    "resources": None,
    "draining": None,
}


class StatusWriter:
    """Used by the main loop only.

    Args:
        settings: cluster and state folder.
        choice: the workload manager that is used.
        service: the service manager.
        since: when this run began, epoch seconds: what tells it from others.
        clock: spaces the writes.
    """

    def __init__(
        self, settings: Settings, choice: Choice, service: Notifier, since: float, clock: Clock
    ) -> None:
        self._folder = settings.state_dir
        self._settings = settings_of_run(settings)
        self._choice = choice
        self._service = service
        self._since = since
        self._clock = clock
        self._written = float("-inf")
        self._held_back = False

    def due(self) -> bool:
        """Whether the last write is long enough ago; if not, one is owed."""
        due = self._clock.monotonic() - self._written >= MIN_INTERVAL_S
        self._held_back = not due
        return due

    def overdue(self) -> bool:
        """Whether to write although nothing asks for it."""
        interval = MIN_INTERVAL_S if self._held_back else HEARTBEAT_S
        return self._clock.monotonic() - self._written >= interval

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write now. Failing to is not an error: status then shows an old heartbeat, the truth."""
        self._written, self._held_back = self._clock.monotonic(), False
        self._service.status(status_line(self._settings["cluster"], facts))
        workload = {"kind": self._choice.kind, "uri": self._choice.uri}
        whole = {
            **_NOTHING_KNOWN,
            "version": __version__,
            "heartbeat": self._clock.now(),
            **facts,
            "workload": {**workload, **facts.get("workload", {})},
            "settings": self._settings,
            "run": self._since,
            "beat": runtime_file.beat(),
        }
        try:
            runtime_file.write_runtime(self._folder, whole)
        except OSError as exc:
            log.warning("Cannot write %s/runtime.json: %s", self._folder, exc)
