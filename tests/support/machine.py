"""For tests: a Debian with systemd as its first process, in a container without a network.

The system is made once, by mmdebstrap, and kept in build/; what a script changes in it is gone when
the container ends. A script runs in it as root; /src is what it may use, /out what it leaves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SYSTEM: Final = ROOT / "build/systemd/debian"
#: What the agent and its unit need, and, from libpam-systemd on, what a Flux of here needs there.
_PACKAGES: Final = (
    "systemd,systemd-sysv,dbus,python3,python3-venv,libpam-systemd,libarchive13,libffi8,"
    "libhwloc15,libjansson4,liblua5.1-0,liblz4-1,libsodium23,libsqlite3-0,libuuid1,libzmq5,lua5.1,"
    "lua-posix"
)
_SCRIPT_UNIT: Final = """\
[Unit]
Description=the script of a test
[Service]
ExecStart=/bin/sh /src/script
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/out/log
StandardError=inherit
"""
#: The container gets the one hierarchy of control groups that systemd wants, whatever is here.
_BOOT: Final = (
    "umount --recursive /sys/fs/cgroup; mount --types cgroup2 none /sys/fs/cgroup && exec"
    ' systemd-nspawn --quiet --register=no --keep-unit --private-network --volatile=overlay "$@"'
)
#: Seconds; making a system takes minutes where packages come slowly.
_MAKE_LIMIT_S: Final = 1500
_RUN_LIMIT_S: Final = 600


def missing() -> str:
    """Why there can be no such machine here; "" when there can."""
    if os.geteuid() != 0:
        return "only root can start a container"
    lacking = [tool for tool in ("mmdebstrap", "systemd-nspawn") if shutil.which(tool) is None]
    names = " and ".join(lacking)
    return names and f"{names} not on PATH (Debian: mmdebstrap, systemd-container)"


def make_system() -> Path:
    """The system's folder, made where it is not there yet.

    Raises:
        AssertionError: it cannot be made.
    """
    done_with = SYSTEM / "done"
    if not done_with.exists() or done_with.read_text() != _PACKAGES:
        shutil.rmtree(SYSTEM, ignore_errors=True)
        SYSTEM.parent.mkdir(parents=True, exist_ok=True)
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}"]
        done = subprocess.run(
            [*command, "bookworm", str(SYSTEM)],
            capture_output=True,
            text=True,
            timeout=_MAKE_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        units = SYSTEM / "etc/systemd/system"
        (units / "script.service").write_text(_SCRIPT_UNIT)
        (units / "multi-user.target.wants").mkdir(exist_ok=True)
        (units / "multi-user.target.wants/script.service").symlink_to("../script.service")
        done_with.write_text(_PACKAGES)
    return SYSTEM


@dataclass(frozen=True)
class Machine:
    """A system, what scripts in it may use (a folder, seen as /src), and folders of here in it."""

    system: Path
    source: Path
    shared: tuple[Path, ...] = ()

    def run(self, script: str, out: Path) -> str:
        """Boot, run a script to its end, power off; what it printed, with its commands.

        Args:
            script: of sh, as root; it ends at the first command that fails.
            out: an empty folder, seen as /out.

        Raises:
            AssertionError: the container does not boot or end.
        """
        out.mkdir()
        text = f"set -eux\n{script}\necho THE SCRIPT ENDED WELL\n"
        (self.source / "script").write_text(text)
        command = [
            *("unshare", "--mount", "--propagation=private", "sh", "-c", _BOOT, "boot"),
            *(f"--directory={self.system}", f"--bind={out}:/out"),
            *(f"--bind-ro={path}" for path in self.shared),
            *(f"--bind-ro={self.source}:/src", "--console=read-only", "--boot"),
        ]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_LIMIT_S,
            check=False,
        )
        log = out / "log"
        assert log.exists(), f"it did not boot:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return log.read_text()
