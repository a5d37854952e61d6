"""The unit under a real systemd, installed word by word as docs/minicluster.md says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.machine import ROOT, Machine, make_system, missing

pytestmark = pytest.mark.systemd

#: Waits in a script: a hundred looks.
HELPERS = """
until_true() { n=0; until eval "$1"; do n=$((n + 1)); test $n -lt 100; sleep 0.2; done; }
state() { systemctl show --value --property="$1" rainbow-agent; }
"""
#: A rainbow on this machine, and the local workload manager, which the unit does without by itself.
LOCAL = """
mkdir -p /etc/systemd/system/rainbow-agent.service.d
printf '[Service]\\nEnvironment=RAINBOW_WORKLOAD=local\\n' \
    > /etc/systemd/system/rainbow-agent.service.d/local.conf
systemctl daemon-reload
systemd-run --quiet --unit=rainbow /usr/local/bin/rainbow-agent scheduler \
    --host 127.0.0.1:50051 --secret chocolate-cookies --global-token a-token-for-tests
"""

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


def installation() -> str:
    """The commands of the page, without Flux's drop-in, for a rainbow on this machine."""
    page = (ROOT / "docs/minicluster.md").read_text(encoding="utf-8")
    block = page.split("## Without Kubernetes")[1].split("```console\n")[1].split("```")[0]
    commands = [line[2:] for line in block.splitlines() if line.startswith("# ")]
    assert len(commands) >= 8
    wanted = [line for line in commands if "flux.conf" not in line]
    text = "\n".join(wanted).replace(
        "install -m 0600 /dev/stdin", "echo chocolate-cookies | install -m 0600 /dev/stdin"
    )
    assert text.count("systemctl enable --now rainbow-agent") == 1
    text = text.replace("systemctl enable --now rainbow-agent", "systemctl enable rainbow-agent")
    settings = "sed -i s/^RAINBOW_HOST=.*/RAINBOW_HOST=127.0.0.1:50051/"
    return f"cd /src\n{text}\n{settings} /etc/rainbow-agent/environment\n{HELPERS}"


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if why := missing():
        pytest.skip(f"NO SYSTEMD: {why}")
    source = tmp_path_factory.mktemp("src")
    for folder in ("systemd", "docker/spack", "docs/man"):
        shutil.copytree(ROOT / folder, source / folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--wheel-dir", str(source / "dist"), str(ROOT)], check=True
    )
    return Machine(make_system(), source)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Pip finds everything beside the wheel: the container has no network."""
    conf = machine.source / "pip.conf"
    conf.write_text("[global]\nno-index = true\nfind-links = /src/dist\n", encoding="ascii")


def run(machine: Machine, script: str, out: Path) -> str:
    log = machine.run(f"export PIP_CONFIG_FILE=/src/pip.conf\n{installation()}\n{script}", out)
    assert log.endswith("THE SCRIPT ENDED WELL\n"), log[-4000:]
    return log


def test_without_flux_it_says_so_and_is_not_started_again(machine: Machine, tmp_path: Path) -> None:
    """Jobs never run in the unit because Flux was not found; the journal has that as a warning."""
    out = tmp_path / "out"
    run(
        machine,
        """
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
    run(
        machine,
        LOCAL + LIFE,
        out,
    )
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
