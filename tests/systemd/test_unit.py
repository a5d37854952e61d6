"""The unit under a real systemd, installed word by word as docs/minicluster.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.machine import Machine
from support.unit import LOCAL, RAINBOW, installation, run

pytestmark = pytest.mark.systemd

#: From its first start to its last stop, with what shells beside it print.
LIFE = """
as_flux() { runuser -u flux -- rainbow-agent "$@"; }
systemctl start rainbow-agent
until_true 'as_flux status | grep -q ^idle'
systemctl show --property=ActiveState,StatusText rainbow-agent > /out/started
test ! -e /etc/rainbow-agent/token
RAINBOW_TOKEN=a-token-for-tests rainbow-agent submit \\
    --host 127.0.0.1:50051 --cluster blue -- \\
    sh -c 'env; nice -n 5 true; echo the job ended'
until_true 'as_flux jobs --state completed -o json | grep -q completed'
as_flux logs 1 > /out/job 2>&1
as_flux status > /out/status
as_flux config show > /out/config
as_flux doctor > /out/doctor || test $? = 1
rainbow-agent jobs > /out/roots-jobs
rainbow-agent drain 2> /out/roots-drain && exit 1
runuser -u nobody -- rainbow-agent status 2> /out/others-status && exit 1
as_flux drain --reason 'for the test'
as_flux resume
as_flux log-level debug
systemctl reload rainbow-agent
pid=$(state MainPID)
systemctl kill --signal=KILL --kill-whom=main rainbow-agent
until_true 'test "$(state ActiveState) $(state NRestarts)" = "active 1"'
test "$(state MainPID)" != $pid
docker/spack/install-agent.sh dist/rainbow_agent-*.whl /opt/rainbow-agent /usr/local/bin
systemctl restart rainbow-agent
systemctl stop rainbow-agent
systemctl show --property=Result,ExecMainStatus rainbow-agent > /out/end
find /proc -maxdepth 1 -user flux > /out/left
journalctl --unit=rainbow-agent --output=cat > /out/journal
journalctl --unit=rainbow-agent --priority=warning --output=cat > /out/warnings
"""


def test_without_flux_it_says_so_and_is_not_started_again(machine: Machine, tmp_path: Path) -> None:
    """Jobs never run in the unit because Flux was not found; the journal has that as a warning."""
    out = tmp_path / "out"
    run(
        machine,
        installation()
        + """
        systemctl start rainbow-agent || true
        until_true 'test "$(state ActiveState)" = failed'
        systemctl show --property=ExecMainStatus,NRestarts,Result rainbow-agent > /out/end
        journalctl --unit=rainbow-agent --priority=warning --output=cat > /out/warnings
        test ! -e /var/lib/rainbow-agent/workload
        """,
        out,
    )
    end = set((out / "end").read_text().split())
    assert end == {"ExecMainStatus=42", "NRestarts=0", "Result=exit-code"}
    assert "Flux was not found" in (out / "warnings").read_text()
    assert '"level": "info"' not in (out / "warnings").read_text()


def check_shells(out: Path) -> None:
    """What verbs printed in shells of the unit's user, of root, and of somebody else."""
    assert "unit rainbow-agent.service" in (out / "config").read_text()
    assert "wrong" not in (out / "doctor").read_text()
    assert "completed" in (out / "roots-jobs").read_text()
    whose = "error: state folder /var/lib/rainbow-agent belongs to flux: run "
    assert (out / "roots-drain").read_text() == (
        f"{whose}`runuser -u flux -- rainbow-agent drain --state-dir /var/lib/rainbow-agent`\n"
    )
    assert f"{whose}`sudo -u flux rainbow-agent status" in (out / "others-status").read_text()


def test_it_works_is_looked_at_and_ends_as_the_page_says(machine: Machine, tmp_path: Path) -> None:
    """No token, a job, the page's commands, a reload, a kill, an upgrade, and a stop."""
    out = tmp_path / "out"
    run(machine, installation() + LOCAL + RAINBOW + LIFE, out)
    assert "ActiveState=active" in (out / "started").read_text()
    assert "cluster blue" in (out / "started").read_text()
    job = (out / "job").read_text()
    assert "the job ended" in job
    assert "nice: cannot set niceness" in job
    assert not re.findall(r"^(?:STATE_DIRECTORY|SYSTEMD_EXEC_PID|RAINBOW_\w+)=", job, re.MULTILINE)
    assert (out / "status").read_text().startswith("idle")
    check_shells(out)
    assert set((out / "end").read_text().split()) == {"Result=success", "ExecMainStatus=0"}
    assert (out / "left").read_text() == ""
    journal = (out / "journal").read_text()
    assert '"level": "info"' in journal
    assert "The log is at level debug from now on" in journal
    assert '"level": "info"' not in (out / "warnings").read_text()
    assert not re.findall(r"^<\d>", journal, re.MULTILINE)
