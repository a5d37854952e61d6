"""For tests: the systemd unit in a machine of its own (machine.py), as docs/minicluster.md says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.machine import ROOT, Machine

#: Waits in a script: a hundred looks.
_HELPERS: Final = """
trap 'journalctl --no-pager --output=cat --lines=80 -u rainbow-agent -u rainbow > /out/last' EXIT
until_true() { n=0; until eval "$1"; do n=$((n + 1)); test $n -lt 100; sleep 0.2; done; }
state() { systemctl show --value --property="$1" rainbow-agent; }
"""
#: The local workload manager, which the unit does without by itself.
LOCAL: Final = """
mkdir -p /etc/systemd/system/rainbow-agent.service.d
printf '[Service]\\nEnvironment=RAINBOW_WORKLOAD=local\\n' \
    > /etc/systemd/system/rainbow-agent.service.d/local.conf
systemctl daemon-reload
"""
#: A rainbow on this machine.
RAINBOW: Final = """
systemd-run --quiet --unit=rainbow "$(command -v rainbow-agent)" scheduler \
    --host 127.0.0.1:50051 --secret chocolate-cookies --global-token a-token-for-tests
"""
#: The settings of a member of that rainbow.
HOST: Final = (
    "sed -i s/^RAINBOW_HOST=.*/RAINBOW_HOST=127.0.0.1:50051/ /etc/rainbow-agent/environment\n"
)


def installation(*, flux: bool = False) -> str:
    """The commands of the page, for a rainbow on this machine.

    Args:
        flux: with the drop-in for flux.service.
    """
    page = (ROOT / "docs/minicluster.md").read_text(encoding="utf-8")
    block = page.split("## Without Kubernetes")[1].split("```console\n")[1].split("```")[0]
    commands = [line[2:] for line in block.splitlines() if line.startswith("# ")]
    commands = [line for line in commands if not line.startswith("systemctl status")]
    assert len(commands) >= 8
    wanted = [line for line in commands if flux or "flux.conf" not in line]
    text = "\n".join(wanted).replace(
        "install -m 0600 /dev/stdin", "echo chocolate-cookies | install -m 0600 /dev/stdin"
    )
    assert text.count("systemctl enable --now rainbow-agent") == 1
    text = text.replace("systemctl enable --now rainbow-agent", "systemctl enable rainbow-agent")
    return f"cd /src\n{text}\n{HOST}"


def run(machine: Machine, script: str, out: Path) -> str:
    """Run a script to its end; what it printed.

    Raises:
        AssertionError: one of its commands failed.
    """
    log = machine.run(f"export PIP_CONFIG_FILE=/src/pip.conf\n{_HELPERS}\n{script}", out)
    last = out / "last"
    journal = last.read_text() if last.exists() else ""
    assert "\nTHE SCRIPT ENDED WELL\n" in log, f"{log[-4000:]}\nthe journal:\n{journal}"
    return log
