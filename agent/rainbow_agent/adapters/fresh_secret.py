"""The registration secret as it is now: a file that it came from is read again when it changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from rainbow_agent.adapters import rainbow_config
from rainbow_agent.errors import UsageError
from rainbow_agent.settings import Settings
from rainbow_agent.settings_values import Secret

log = logging.getLogger(__name__)


class FreshSecret:
    """Called for the secret whenever it is needed, which is seldom.

    Args:
        settings: what was read at the start, and where from.
        hide: keeps a new value out of the logs.
    """

    def __init__(self, settings: Settings, hide: Callable[[set[str]], None]) -> None:
        self._secret = settings.secret
        self._path = settings.secret_files.get("secret")
        self._config = settings.config if settings.sources["secret"] == _from(settings) else None
        self._hide = hide

    def __call__(self) -> Secret:
        """The secret; the last good one where the file cannot be read now."""
        try:
            text = self._read()
        except (OSError, UnicodeDecodeError, UsageError) as exc:
            log.warning("The registration secret is not read again: %s", exc)
            return self._secret
        if text and text != self._secret.reveal():
            self._hide({text})
            self._secret = Secret(text)
            log.info("The registration secret changed", extra={"action": "secret_read"})
        return self._secret

    def _read(self) -> str:
        if self._path is not None:
            return self._path.read_text(encoding="utf-8").strip()
        config = rainbow_config.load(self._config) if self._config else None
        return config.scheduler_secret if config else ""


def _from(settings: Settings) -> str:
    """What the source of a value from the configuration file is called."""
    return f"file {Path(settings.config)}"
