"""systemd/: the unit as systemd itself reads it, its score, and the files beside it."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rainbow_agent.runtime import settings

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "systemd"
UNIT = SYSTEMD / "rainbow-agent.service"
DROP_IN = SYSTEMD / "rainbow-agent.service.d/flux.conf"
#: Of 100; systemd calls up to 20 OK.
WORST_SCORE = 20

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="NO systemd-analyze: the unit was not looked at by systemd",
)


def values(path: Path) -> dict[str, list[str]]:
    """Name to values of all sections; a name may stand more than once."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing about the unit with its drop-in."""
    text = UNIT.read_text().replace("/usr/local/bin/rainbow-agent", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    drop_ins = tmp_path / f"{UNIT.name}.d"
    drop_ins.mkdir()
    shutil.copy(DROP_IN, drop_ins)
    (tmp_path / "flux.service").write_text("[Service]\nExecStart=/bin/true\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    ours = [line for line in done.stderr.splitlines() if "rainbow" in line]
    assert (ours, done.returncode) == ([], 0), done.stderr


@needs_systemd
def test_it_is_locked_up_well() -> None:
    """Systemd's own score of the unit's exposure stays in what it calls OK."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={WORST_SCORE}", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


def test_what_the_unit_promises() -> None:
    """Notify with a watchdog, no restart after 42, a state folder, credentials, time to stop."""
    unit = values(UNIT)
    assert unit["Type"] == ["notify"]
    assert int(unit["WatchdogSec"][0]) > 0
    assert "42" in unit["RestartPreventExitStatus"][0].split()
    assert unit["StateDirectory"] == ["rainbow-agent"]
    grace = settings.load({}, hostname="blue").grace
    assert int(unit["TimeoutStopSec"][0]) > grace
    assert unit["LoadCredential"] == ["secret:/etc/rainbow-agent/secret"]
    assert "RAINBOW_SECRET_FILE=%d/secret" in unit["Environment"]


def test_the_unit_needs_nothing_that_only_submit_uses() -> None:
    """A token that is not there must not keep the agent from starting, nor be there for jobs."""
    for path in (*SYSTEMD.rglob("*.*"), ROOT / "docs/minicluster.md"):
        if path.is_file():
            assert "/etc/rainbow-agent/token" not in path.read_text(), path


def test_no_job_runs_in_the_unit() -> None:
    """Under its limits it would fail, and end with it; so without Flux the agent does not start."""
    unit = values(UNIT)
    assert "RAINBOW_WORKLOAD=flux" in unit["Environment"]
    assert unit["SystemCallErrorNumber"] == ["EPERM"]


def test_the_log_level_can_be_changed_by_a_reload() -> None:
    """`systemctl reload` sends what `rainbow-agent log-level` sends."""
    assert values(UNIT)["ExecReload"] == ["/bin/sh -c 'kill -HUP ${MAINPID}'"]


def test_the_drop_in_ties_it_to_flux() -> None:
    """The agent starts after flux.service and ends with it."""
    found = values(DROP_IN)
    for name in ("Requires", "After", "PartOf", "WantedBy"):
        assert found[name] == ["flux.service"]


def test_the_example_environment_can_be_used() -> None:
    """Every line is a setting with a value that the agent takes; none is a secret."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string("[all]\n" + (SYSTEMD / "environment.example").read_text())
    loaded = settings.load(dict(parser["all"]))
    assert loaded.warnings == ()
    assert not loaded.secret
    assert json.dumps(dict(loaded.operator_state)) == '{"cost_per_node_hour": 3.0}'


@pytest.mark.parametrize(
    ("tool", "file"),
    [
        ("systemd-tmpfiles", "rainbow-agent.tmpfiles"),
        ("systemd-sysusers", "rainbow-agent.sysusers"),
    ],
)
def test_folders_and_user_are_made(tmp_path: Path, tool: str, file: str) -> None:
    """Systemd's own tools take the entries and do what they say, in another root."""
    if shutil.which(tool) is None:
        pytest.skip(f"NO {tool}: its file was not tried")
    (tmp_path / "etc").mkdir()
    users = "root:x:0:0:root:/root:/bin/sh\n"
    if tool == "systemd-tmpfiles":  # which comes after systemd-sysusers
        users += "flux:x:900:900::/var/lib/flux:/bin/sh\n"
    (tmp_path / "etc/passwd").write_text(users)
    (tmp_path / "etc/group").write_text("root:x:0:\nflux:x:900:\n")
    extra = ["--create"] if tool == "systemd-tmpfiles" else []
    done = subprocess.run(
        [tool, *extra, f"--root={tmp_path}", str(SYSTEMD / file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ermission" in done.stderr or "not permitted" in done.stderr:
        pytest.skip(f"NO RIGHT to try {file}: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    if tool == "systemd-tmpfiles":
        assert (tmp_path / "etc/rainbow-agent").stat().st_mode & 0o777 == 0o750
        assert (tmp_path / "var/lib/flux").stat().st_mode & 0o777 == 0o755
    else:
        assert re.search(r"^flux:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="NO dpkg-deb: no package was built")
def test_the_debian_package_has_the_unit_and_what_is_beside_it(tmp_path: Path) -> None:
    """Its commands are where the unit looks for them; the settings are the site's to change."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "rainbow_agent-1.2.3-py3-none-any.whl").touch()
    subprocess.run(
        [SYSTEMD / "debian/build", wheels, tmp_path, "4"], check=True, stdout=subprocess.DEVNULL
    )
    (package,) = tmp_path.glob("rainbow-agent_1.2.3-4_*.deb")
    subprocess.run(["dpkg-deb", "--raw-extract", package, tmp_path / "root"], check=True)
    root = tmp_path / "root"
    unit = (root / "usr/lib/systemd/system/rainbow-agent.service").read_text()
    command = re.findall(r"^ExecStart=/(\S+)", unit, re.MULTILINE)
    assert command == ["usr/bin/rainbow-agent"]
    assert (root / command[0]).is_symlink()
    assert (root / "DEBIAN/conffiles").read_text() == "/etc/rainbow-agent/environment\n"
    assert (root / "etc/rainbow-agent/environment").is_file()
    assert "Version: 1.2.3-4\n" in (root / "DEBIAN/control").read_text()
    for name in ("postinst", "prerm", "postrm"):
        assert (root / "DEBIAN" / name).stat().st_mode & 0o777 == 0o755
        subprocess.run(["sh", "-n", root / "DEBIAN" / name], check=True)
