"""How the daemon ended: an order, an error and a kill do not look alike afterwards."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.workload.local.workload import LocalWorkload
from support.common import eventually
from support.program import Program, Running
from support.site import running_site


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """An agent with a scheduler and the local workload manager."""
    with running_site(tmp_path) as site:
        yield site.program


def ended(program: Program) -> Any:
    """What `status` says of the last run."""
    return program.run("status", "-o", "json").value["daemon"]["ended"]


def test_an_order_is_kept_with_its_reason(program: Program) -> None:
    """Status 0, the signal's name, and the last line of the log."""
    with program.background("start") as agent:
        agent.says("Registered cluster")
        assert ended(program) is None, "it runs"
        assert agent.stop() == 0
        assert "Stopped: signal SIGTERM" in agent.log()
    end = ended(program)
    assert (end["status"], end["reason"]) == (0, "signal SIGTERM")
    assert re.match(
        r"stopped  exited with status 0, \S+ \S+ ago: signal SIGTERM\n", program.run("status").out
    )


def test_an_error_is_kept_with_its_words(program: Program) -> None:
    """Status 42, and what the person who has to act has to know."""
    program.environ["RAINBOW_SECRET"] = "wrong"
    with program.background("start") as agent:
        assert agent.wait() == 42
    end = ended(program)
    assert end["status"] == 42
    assert "refuses the registration secret" in end["reason"]
    folder = program.state_dir / "workload"
    with pytest.raises(WorkloadUnavailable):
        LocalWorkload(folder, launch=False).resources()  # none is left behind


def test_a_kill_leaves_no_word_and_the_next_start_says_so(program: Program) -> None:
    """Also when the run before it had ended in order."""
    for end in (Running.stop, Running.kill):
        with program.background("start") as agent:
            eventually(lambda: program.run("status").code == 0, "it is up")
            end(agent)
    assert ended(program) is None
    assert program.run("status").out.startswith("stopped  killed, or the machine went down")
    with program.background("start") as agent:
        agent.says("ended without a word")
        agent.stop()


def test_a_second_signal_is_kept_too(program: Program) -> None:
    """It leaves in the middle of the stop, and says that it did."""
    with program.background("start") as agent:
        agent.says("Registered cluster")
        agent.signal(signal.SIGSTOP)  # both signals are there when it continues
        agent.signal(signal.SIGTERM)
        agent.signal(signal.SIGINT)
        agent.signal(signal.SIGCONT)
        assert agent.wait() in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "a second signal" in ended(program)["reason"]
