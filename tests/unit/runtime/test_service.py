"""A shell beside the systemd unit: verbs find its folder and its settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rainbow_agent.runtime import service

UNIT = """LoadState=loaded
StateDirectory=rainbow-agent
Environment=RAINBOW_SECRET_FILE=/run/credentials/rainbow-agent.service/secret RAINBOW_WORKLOAD=flux
EnvironmentFiles={file} (ignore_errors=yes)
"""
FILE = """# of the site
; likewise
RAINBOW_HOST=rainbow.example.org:8080
RAINBOW_CLUSTER="blue"
RAINBOW_STATE_place='hall \\
2'
PATH=/opt/flux/bin
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a shell on a machine with the unit; systemctl is a script."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "environment").write_text(FILE)
    (tmp_path / "shown").write_text(UNIT.format(file=tmp_path / "environment"))
    script = programs / "systemctl"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncat {tmp_path}/shown\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(service, "_BOOTED", tmp_path)
    return {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "xdg")}


def test_a_shell_without_a_state_folder_has_the_units_settings(shell: dict[str, str]) -> None:
    """Its folder, its environment file and its variables; where each is from is said."""
    settings = service.load_beside(shell, {})
    assert settings.state_dir == Path("/var/lib/rainbow-agent")
    assert settings.config == Path("/var/lib/rainbow-agent/rainbow-config.yaml")
    assert (settings.cluster, settings.workload) == ("blue", "flux")
    assert settings.host == "rainbow.example.org:8080"
    assert settings.sources["cluster"] == "unit rainbow-agent.service"
    assert settings.operator_state == {"place": "hall 2"}
    assert not settings.secret, "the credentials are the unit's alone"


@pytest.mark.parametrize(
    ("environ", "flags"),
    [
        ({"RAINBOW_STATE_DIR": "/elsewhere"}, {}),
        ({"STATE_DIRECTORY": "/elsewhere"}, {}),
        ({}, {"state_dir": "/elsewhere"}),
    ],
)
def test_a_folder_that_is_named_is_the_one_that_is_meant(
    shell: dict[str, str], tmp_path: Path, environ: dict[str, str], flags: dict[str, str]
) -> None:
    """The unit is not asked for."""
    settings = service.load_beside({**shell, **environ}, flags)
    assert settings.state_dir == Path("/elsewhere")
    assert settings.sources["host"] == "default"
    assert not (tmp_path / "asked").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root's own folder is the unit's")
def test_a_folder_of_ones_own_that_was_used_is_the_one_that_is_meant(
    shell: dict[str, str], tmp_path: Path
) -> None:
    """Somebody runs an agent of their own beside the service."""
    own = tmp_path / "xdg/rainbow-agent"
    own.mkdir(parents=True)
    (own / "ledger.sqlite").touch()
    assert service.load_beside(shell, {}).state_dir == own


def test_what_the_shell_sets_itself_counts_more(shell: dict[str, str]) -> None:
    """And says that it is from there."""
    settings = service.load_beside({**shell, "RAINBOW_CLUSTER": "pink"}, {})
    assert (settings.cluster, settings.workload) == ("pink", "flux")
    assert settings.sources["cluster"] == "environment RAINBOW_CLUSTER"


@pytest.mark.parametrize(
    "shown",
    ["LoadState=not-found\n", "", "LoadState=loaded\nEnvironmentFiles=/nowhere/file\n"],
    ids=["no unit", "no answer", "its file cannot be read"],
)
def test_without_a_unit_the_shell_is_all_there_is(
    shell: dict[str, str], tmp_path: Path, shown: str
) -> None:
    """As on every machine that has no systemd."""
    (tmp_path / "shown").write_text(shown)
    settings = service.load_beside(shell, {})
    assert settings.sources["state_dir"] == "default"
    assert settings.sources["host"] == "default"


def test_a_systemctl_that_fails_is_no_error(shell: dict[str, str], tmp_path: Path) -> None:
    """A container may have the program and not the service."""
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho LoadState=loaded\nexit 1\n")
    assert service.load_beside(shell, {}).sources["state_dir"] == "default"
