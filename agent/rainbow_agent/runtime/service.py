"""The unit rainbow-agent.service of this machine, for a shell beside it.

systemd gives a unit's settings to its daemon alone. A verb in a shell that names no state folder,
and whose own one was never used, is about that daemon: it gets the unit's folder and settings.
`systemctl show` has them with all drop-ins and expanded (systemctl(1), systemd.exec(5)).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from rainbow_agent.runtime.setting_defaults import default_state_dir
from rainbow_agent.runtime.settings import PREFIX, Settings, load

UNIT: Final = "rainbow-agent.service"
#: There where systemd is process 1 (sd_booted(3)).
_BOOTED: Final = Path("/run/systemd/system")
#: Where systemd puts a unit's credentials, for that unit alone.
_CREDENTIALS: Final = "/run/credentials/"
_ASKED: Final = ("LoadState", "StateDirectory", "Environment", "EnvironmentFiles")
_TIMEOUT_S: Final = 5.0
#: Files of a state folder that has been used.
_USED: Final = ("ledger.sqlite", "rainbow-config.yaml")


def load_beside(
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
    *,
    from_config: Callable[[Path], Mapping[str, str]] = lambda _: {},
) -> Settings:
    """Settings as of settings.load; where this shell has none of its own, the unit's beside them.

    Raises:
        UsageError: a value cannot be used; the message has its source.
    """
    unit = {} if _has_own(environ, flags) else unit_environment()
    extra = {name: value for name, value in unit.items() if not environ.get(name)}
    settings = load({**environ, **extra}, flags, from_config=from_config)
    sources = {
        name: f"unit {UNIT}" if source.removeprefix("environment ") in extra else source
        for name, source in settings.sources.items()
    }
    return replace(settings, sources=sources)


def _has_own(environ: Mapping[str, str], flags: Mapping[str, str | None]) -> bool:
    """Whether a state folder was named, or this user's own one was used."""
    named = (flags.get("state_dir"), environ.get("RAINBOW_STATE_DIR"))
    if any(named) or environ.get("STATE_DIRECTORY") or not _BOOTED.is_dir():
        return True
    own = default_state_dir(environ)
    shared = own == Path("/var/lib/rainbow-agent")  # root's own, which may well be the unit's
    return not shared and any((own / name).exists() for name in _USED)


def unit_environment() -> dict[str, str]:
    """The unit's RAINBOW_* variables, with its state folder; empty where there is no such unit."""
    facts = _shown()
    if facts.get("LoadState") != ["loaded"]:
        return {}
    found = {}
    if folders := " ".join(facts.get("StateDirectory", [])).split():
        found["RAINBOW_STATE_DIR"] = f"/var/lib/{folders[0]}"
    for text in facts.get("Environment", []):
        found.update(_assignments(shlex.split(text)))
    for file in facts.get("EnvironmentFiles", []):
        found.update(_of_file(Path(file.partition(" (ignore_errors=")[0])))
    return {
        name: value
        for name, value in found.items()
        if name.startswith(PREFIX) and not value.startswith(_CREDENTIALS)
    }


def _shown() -> dict[str, list[str]]:
    """What systemd knows of the unit: each property's values, one a line."""
    import subprocess  # noqa: PLC0415 - only on a machine with systemd

    command = ["systemctl", "show", f"--property={','.join(_ASKED)}", UNIT]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    facts: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        if value:
            facts.setdefault(name, []).append(value)
    return facts


def _of_file(path: Path) -> dict[str, str]:
    """The variables of an environment file; none where this user may not read it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    lines = [line.strip() for line in text.replace("\\\n", "").splitlines()]
    return _assignments([_unquoted(line) for line in lines if line and line[0] not in "#;"])


def _unquoted(line: str) -> str:
    name, _, value = line.partition("=")
    try:
        return f"{name.strip()}={' '.join(shlex.split(value))}"
    except ValueError:
        return line


def _assignments(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)
