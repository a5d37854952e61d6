"""The cluster's credentials, in upstream's rainbow-config.yaml."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet import rainbow_config
from rainbow_agent.fleet.secret_copy import SecretCopy
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings


def registration_id(secret: str) -> str:
    """The id of the registration that a cluster secret belongs to: 12 hexadecimal digits.

    Derived, not stored: the agent computes the same id from its secret after any crash, and a new
    secret is a new registration. The secret (a random UUID, 122 bits) cannot be found from it;
    the prefix keeps the digest apart from any other use of SHA-256 on the same secret. 48 bits
    tell the handful of registrations that one ledger ever sees apart.
    """
    return hashlib.sha256(b"rainbow-agent/registration/1\0" + secret.encode()).hexdigest()[:12]


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
            return self._path.read_text(encoding="utf-8-sig").strip()
        config = rainbow_config.load(self._config) if self._config else None
        return config.scheduler_secret if config else ""


def _from(settings: Settings) -> str:
    """What the source of a value from the configuration file is called."""
    return f"file {Path(settings.config)}"


#: Bytes that have to fit beside the file before a secret is asked for.
_TRIAL_BYTES: Final = 64 * 1024


class ConfigFileStore:
    """ports.CredentialStore over the file that upstream's own scripts read too."""

    def __init__(
        self,
        *,
        path: Path,
        cluster: str,
        host: str,
        registration_secret: Secret,
        hide: Callable[[set[str]], None],
        copy: SecretCopy | None = None,
    ) -> None:
        self._copy = copy
        self._path = path
        self._cluster = cluster
        self._host = host
        self._registration_secret = registration_secret
        self._hide = hide  # keeps secrets that become known here out of the logs

    def load(self) -> Secret | None:
        """The secret of this cluster; None when the file has none, or another cluster's."""
        config = rainbow_config.load(self._path)
        secret = config.secret_of(self._cluster) if config else ""
        if not secret:
            return None
        self._hide({secret})
        return Secret(secret)

    def token(self) -> str:
        """The token that submits to this cluster; "" when the file has none."""
        config = rainbow_config.load(self._path)
        return config.token_of(self._cluster) if config else ""

    def save(self, credentials: Credentials) -> None:
        """Write secret, token and host; durable, mode 0600, what else is in the file stays."""
        self._hide({credentials.secret})
        fresh = rainbow_config.merge(
            rainbow_config.load(self._path),
            host=self._host,
            cluster=self._cluster,
            secret=credentials.secret,
            token=credentials.token,
            scheduler_secret=self._registration_secret.reveal(),
        )
        rainbow_config.save(self._path, fresh)
        try:
            if self._copy:
                self._copy.save(Secret(credentials.secret))
        except OSError as exc:  # it is stored where it counts
            log.warning("The copy of the cluster's secret is not written: %s", exc)

    def copy(self) -> Secret | None:
        """The agent's own copy of the secret; None when there is none."""
        secret = self._copy.load() if self._copy else None
        if secret is not None:
            self._hide({secret.reveal()})
        return secret

    def put_back(self, secret: Secret) -> None:
        """Write the secret into the file again; what else is in the file stays.

        Raises:
            UsageError: it cannot be written.
        """
        config = rainbow_config.load(self._path)
        token = config.token_of(self._cluster) if config else ""
        self.save(Credentials(secret.reveal(), token))

    def check(self) -> None:
        """Make sure that the file can be read as it stands and replaced.

        Raises:
            UsageError: it cannot, and why.
        """
        rainbow_config.load(self._path)
        folder = self._path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(
                f"{folder} cannot be written, so the secret that rainbow gives (once only) could"
                " not be stored: point RAINBOW_CONFIG at a folder that this user may write"
            )
        probe = self._path.with_name(f"{self._path.name}.probe")
        try:
            try:
                with probe.open("wb") as file:
                    file.write(bytes(_TRIAL_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
        except OSError as exc:
            raise UsageError(
                f"{folder}: {exc.strerror}: the secret that rainbow gives (once only) could not be"
                " stored; free space there, or set RAINBOW_CONFIG"
            ) from exc

    def forget(self) -> None:
        """Take the secret out of the file."""
        config = rainbow_config.load(self._path)
        if config is not None and config.secret_of(self._cluster):
            rainbow_config.save(self._path, replace(config, cluster_secret=""))
        if self._copy:
            self._copy.remove()

    def describe(self) -> str:
        """The file's path."""
        return str(self._path)
