"""For tests: whether a secret is anywhere where it does not belong.

Every `Program` is searched at its end (testing_program.installed), so that the whole acceptance
suite is one search: what verbs printed, every file that they and the daemon wrote, the arguments
and the environment of every process of this machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil
import yaml

#: What registers a cluster in tests: found nowhere by chance, and by no other run of the tests.
REGISTRATION_SECRET: Final = f"marked-registration-secret-{secrets.token_hex(8)}"
_SHORTEST: Final = 8  # what is shorter turns up by chance
#: Whose business the secrets are: the schedulers' files, the credentials, keys.
_ALLOWED: Final = (
    "embedded.",
    "embedded-rows.",
    "rainbow.",
    "rainbow-config",
    "cluster-secret",
    "secret",
)


def secrets_of(environ: Mapping[str, str], config: Path) -> set[str]:
    """What must stay hidden of a program with this environment and configuration file."""
    found = {environ.get(name, "") for name in ("RAINBOW_SECRET", "RAINBOW_TOKEN")}
    for name in ("RAINBOW_SECRET_FILE", "RAINBOW_TOKEN_FILE"):
        found |= {_text(Path(environ[name])).strip()} if name in environ else set()
    key = environ.get("RAINBOW_TLS_KEY")
    found |= set(_text(Path(key)).splitlines()[1:2]) if key else set()
    found |= _credentials(config)
    return {secret for secret in found if len(secret) >= _SHORTEST}


def _credentials(config: Path) -> set[str]:
    try:
        document = yaml.safe_load(_text(config)) or {}
        mine = {document["cluster"]["secret"], document["scheduler"].get("secret", "")}
        return mine | {entry["token"] for entry in document.get("clusters") or ()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return set()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def in_files(folder: Path, hidden: Collection[str]) -> Iterator[str]:
    """Names of the files below a folder that hold one of the secrets and should not."""
    for path in folder.rglob("*"):
        allowed = path.name.startswith(_ALLOWED) or path.suffix == ".key"
        if path.is_file() and not path.is_symlink() and not allowed:
            text = _text(path)
            if any(secret in text for secret in hidden):
                yield str(path.relative_to(folder))


def in_processes(hidden: Collection[str], besides: Collection[int]) -> Iterator[str]:
    """Processes that show one of the secrets, in their arguments or their environment.

    Args:
        hidden: the secrets.
        besides: ids of processes that were given them: the schedulers and the agent itself, whose
            environment only root can read.
    """
    for process in psutil.process_iter(["pid", "name", "cmdline", "environ"]):
        if process.pid in besides:
            continue
        shown = [*(process.info["cmdline"] or ()), *(process.info["environ"] or {}).values()]
        if any(secret in text for secret in hidden for text in shown):
            yield f"{process.info['name']} ({process.pid}): {process.info['cmdline']}"
