"""The Debian package: installed, upgraded under a job that runs, removed and purged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.machine import ROOT, Machine
from support.unit import HOST, LOCAL, run

pytestmark = pytest.mark.systemd

_LIFE = """
as_flux() { runuser -u flux -- rainbow-agent "$@"; }
submit() {
    RAINBOW_TOKEN=a-token-for-tests rainbow-agent submit --host 127.0.0.1:50051 --cluster blue \\
        -- sh -c 'echo it ran'
}
systemctl start rainbow-agent
until_true 'as_flux status | grep -q ^idle'
submit
until_true 'as_flux jobs --state completed -o json | grep -q completed'
pid=$(state MainPID)
echo '# the site wrote this' >> /etc/rainbow-agent/environment
dpkg --install /src/packages/rainbow-agent_*-2_*.deb > /out/upgraded 2>&1
until_true 'test "$(state ActiveState)" = active'
test "$(state MainPID)" != $pid
grep -q 'the site wrote this' /etc/rainbow-agent/environment
as_flux jobs > /out/jobs
man --where rainbow-agent 2>/dev/null || test -e /usr/share/man/man1/rainbow-agent.1.gz
dpkg --remove rainbow-agent > /out/removed 2>&1
test "$(state LoadState)" = not-found
test ! -e /usr/lib/rainbow-agent
test -e /var/lib/rainbow-agent/ledger.sqlite
test -e /etc/rainbow-agent/environment
dpkg --purge rainbow-agent > /out/purged 2>&1
test ! -e /var/lib/rainbow-agent
test ! -e /etc/rainbow-agent
"""
#: The rainbow of the test is not of the package, which is removed.
_OTHER = """
cp -a /usr/lib/rainbow-agent /opt/other
rainbow="/opt/other/venv/bin/python -m rainbow_agent.cli scheduler"
systemd-run --quiet --unit=rainbow $rainbow --host 127.0.0.1:50051 \\
    --secret chocolate-cookies --global-token a-token-for-tests
"""


@pytest.fixture
def packages(machine: Machine) -> Path:
    """Two packages that differ in their revision, for the Python of the machine."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("NO PACKAGE: dpkg-deb is not on PATH")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("NO PACKAGE: the machine's Debian has Python 3.11, and this is another")
    folder = machine.source / "packages"
    for revision in ("1", "2"):
        subprocess.run(
            [ROOT / "systemd/debian/build", machine.source / "dist", folder, revision],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return folder


def test_it_installs_upgrades_and_purges(machine: Machine, packages: Path, tmp_path: Path) -> None:
    """It says what is to be set, keeps what the site wrote, and leaves nothing after a purge."""
    assert len(list(packages.iterdir())) == 2
    out = tmp_path / "out"
    first = "dpkg --install /src/packages/rainbow-agent_*-1_*.deb > /out/installed 2>&1\n"
    secret = "echo chocolate-cookies | install -m 0600 /dev/stdin /etc/rainbow-agent/secret\n"
    run(machine, first + secret + HOST + LOCAL + _OTHER + _LIFE, out)
    assert "systemctl enable --now rainbow-agent" in (out / "installed").read_text()
    assert "systemctl enable" not in (out / "upgraded").read_text()
    assert "completed" in (out / "jobs").read_text()
    assert "Rainbow still has the cluster" in (out / "purged").read_text()
