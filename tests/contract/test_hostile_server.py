"""A server that is broken, or means harm, costs the agent an error and little memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.hostile import BEHAVIOURS, hostile_server

#: What the process may have at most, all told. It has about 40 MiB after a call that fails.
MAX_RSS_MIB = 128
#: gRPC takes 16 MiB of header fields where its own limit was not acknowledged, and each of them
#: costs it many times its length; no option of a channel changes that (docs/security.md).
MAX_RSS_UNACKNOWLEDGED_MIB = 512
CALLS = 4
#: Those that are over at once; the others take until the timeout of each call.
SHORT = frozenset({"go_away", "go_away_after_headers", "refused_streams", "giant_frame"})

_CLIENT = """
import json, sys
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.runtime.memory import keep_small

keep_small()
scheduler, ends = RainbowScheduler(sys.argv[1], timeout=2.0), []
for _ in range(int(sys.argv[2])):
    try:
        scheduler.receive("blue", "hush-hush", 100)
    except RainbowAgentError as exc:
        ends.append([exc.kind, str(exc)])
    else:
        ends.append(["answered", ""])
scheduler.close()
status = open("/proc/self/status").read()
peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
print(json.dumps([int(peak.split()[1]) // 1024, ends]))
"""


@pytest.mark.parametrize(
    "behaviour",
    [pytest.param(name, marks=() if name in SHORT else pytest.mark.full) for name in BEHAVIOURS],
)
def test_it_costs_an_error_and_little_memory(behaviour: str) -> None:
    """Each call ends as one that may be tried again or is refused, and memory stays bounded."""
    with hostile_server(behaviour) as host:
        ended = subprocess.run(
            [sys.executable, "-c", _CLIENT, host, str(CALLS)],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    peak_mib, ends = json.loads(ended.stdout)
    silent = behaviour == "endless_headers_without_settings"
    assert peak_mib < (MAX_RSS_UNACKNOWLEDGED_MIB if silent else MAX_RSS_MIB), ends
    assert {kind for kind, _ in ends} <= {"unavailable", "rejected", "answered"}, ends
    for kind, text in ends:
        if kind == "answered":
            continue
        assert host in text
        assert len(text) < 400, "one sentence"
