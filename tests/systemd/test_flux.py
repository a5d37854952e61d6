"""The unit beside Flux's own flux.service, with the drop-in: a real system instance of one node."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.machine import Machine
from support.unit import RAINBOW, installation, run

pytestmark = [pytest.mark.systemd, pytest.mark.flux]

#: Of an installation of Flux, below its prefix; the rest there is of others.
_PARTS = (
    *("bin/flux*", "etc/flux", "lib/flux", "lib/libflux*", "lib/python3*", "lib/lua", "lib64/flux"),
    *("libexec/flux", "share/flux", "share/lua", "lib/systemd/system/flux*", "lib/tmpfiles.d"),
)
#: flux.service does the rest; a system instance reads its configuration from there.
_FLUX = """
cp -a /src/flux/. {prefix}/
echo {python}/lib > /etc/ld.so.conf.d/flux.conf
chmod a+rx /root
ldconfig
test -x {interpreter} || {
    mkdir -p "$(dirname {interpreter})"
    ln -s {python}/bin/python3 {interpreter}
}
mkdir -p {prefix}/etc/flux/system/conf.d {prefix}/etc/flux/system/cron.d
printf '[resource]\\nnoverify = true\\n' > {prefix}/etc/flux/system/conf.d/site.toml
"""
#: Boot order, a watchdog, kills, an upgrade and a stop, each with a job in flight.
_LIFE = """
as_flux() { runuser -u flux -- rainbow-agent "$@"; }
submit() {
    RAINBOW_TOKEN=a-token-for-tests rainbow-agent submit --host 127.0.0.1:50051 --cluster blue \\
        -- sh -c "echo ran \\$1 >> /var/lib/flux/ran; until test -e /var/lib/flux/gate-\\$1; do
            sleep 0.1; done" sh $1
}
entered() { systemctl show --value --property=ActiveEnterTimestampMonotonic $1; }
runs() { until_true "as_flux jobs $1 -o json | grep -q '\\"running\\"'"; }
ends() {
    touch /var/lib/flux/gate-$1
    until_true "as_flux jobs $1 -o json | grep -q '\\"state\\": \\"completed\\"'"
}
began_again() {
    until_true "test \\"\\$(state ActiveState)\\" = active -a \\"\\$(state MainPID)\\" != $1"
    until_true 'as_flux status | grep -Eq "^(idle|working)"'
}

systemctl enable flux
systemctl start flux
until_true 'test "$(state ActiveState)" = active'
test $(entered flux) -lt $(entered rainbow-agent)
until_true 'as_flux status | grep -q ^idle'
systemctl status --no-pager rainbow-agent > /out/systemctl-status
as_flux status > /out/status
as_flux doctor > /out/doctor || test $? = 1

submit 1; runs 1
pid=$(state MainPID)
systemctl kill --signal=KILL --kill-whom=main rainbow-agent
began_again $pid; runs 1; ends 1

submit 2; runs 2
printf '[Service]\\nWatchdogSec=4\\n' > /etc/systemd/system/rainbow-agent.service.d/dog.conf
systemctl daemon-reload
systemctl restart rainbow-agent
until_true 'test "$(state ActiveState)" = active'
pid=$(state MainPID)
sleep 9
test "$(state MainPID)" = $pid
kill -STOP $pid
began_again $pid
journalctl --unit=rainbow-agent --output=cat | grep -q 'Watchdog timeout'
runs 2; ends 2

submit 3; runs 3
pid=$(state MainPID)
docker/spack/install-agent.sh dist/rainbow_agent-*.whl /opt/rainbow-agent /usr/local/bin
systemctl restart rainbow-agent
began_again $pid; runs 3
systemctl stop rainbow-agent
systemctl show --property=Result,ExecMainStatus rainbow-agent > /out/end
touch /var/lib/flux/gate-3
until_true 'test "$(runuser -u flux -- flux jobs --no-header --suppress-header | wc -l)" = 0'
systemctl start rainbow-agent
ends 3

pid=$(state MainPID)
systemctl restart flux
began_again $pid
until_true 'as_flux status | grep -q ^idle'
submit 4; runs 4; ends 4
systemctl stop flux
test "$(state ActiveState)" = inactive
cp /var/lib/flux/ran /out/ran
as_flux jobs > /out/jobs
journalctl --unit=rainbow-agent --priority=warning --output=cat > /out/warnings
"""


@pytest.fixture
def beside_flux(machine: Machine) -> tuple[Machine, str]:
    """The machine with the Flux that is here, and the script that puts it there."""
    program = shutil.which("flux")
    prefix = Path(program).resolve().parents[1] if program else Path("/nowhere")
    if not (prefix / "lib/systemd/system/flux.service").exists():
        pytest.skip("NO flux.service: no Flux on PATH, or built without systemd's folder")
    copies = machine.source / "flux"
    for found in [path for part in _PARTS for path in prefix.glob(part)]:
        into = copies / found.relative_to(prefix)
        into.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir() and not into.exists():
            shutil.copytree(found, into, symlinks=True)
        elif not found.is_dir():
            shutil.copy2(found, into, follow_symlinks=False)
    python, interpreter = _pythons()
    script = _FLUX.replace("{prefix}", str(prefix)).replace("{python}", str(python))
    script = script.replace("{interpreter}", interpreter)
    shared = () if python == Path("/usr") else (python,)  # Debian has it there as well
    return Machine(machine.system, machine.source, shared), script


def _pythons() -> tuple[Path, str]:
    """Below which the Python is that Flux's bindings are linked with; what its commands start."""
    asked = ["flux", "python", "-c", "import sys; print(sys.base_prefix)"]
    prefix = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    shown = subprocess.run(
        ["flux", "--verbose", "queue", "--help"], capture_output=True, text=True, check=True
    )
    started = re.search(r"trying to exec (\S+) \S+\.py ", shown.stdout + shown.stderr)
    assert started, shown.stderr
    return Path(prefix), started[1]


def test_it_follows_flux_and_loses_nothing(
    beside_flux: tuple[Machine, str], tmp_path: Path
) -> None:
    """Started after it, killed, halted, upgraded and stopped under jobs that run once each."""
    machine, there = beside_flux
    out = tmp_path / "out"
    run(machine, there + installation(flux=True) + RAINBOW + _LIFE, out)
    assert (out / "ran").read_text().split("\n")[:-1] == [f"ran {n}" for n in (1, 2, 3, 4)]
    assert set((out / "end").read_text().split()) == {"Result=success", "ExecMainStatus=0"}
    assert "cluster blue" in (out / "systemctl-status").read_text()
    assert "wrong" not in (out / "doctor").read_text()
    assert '"level": "info"' not in (out / "warnings").read_text()
