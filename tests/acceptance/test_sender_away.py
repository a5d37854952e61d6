"""A sender who looks after an hour, by a clock that goes faster, in which all others are killed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.runtime.fault_injection import Hooks
from support.common import eventually
from support.desk import Desk
from support.outages import hasty
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: How many times as fast the time of agent and senders goes, and how long it is.
RATE: Final = 60.0
AWAY_S: Final = 3600.0
CODES: Final = (0, 3, 0, 7, 1)

PARTS: Final = [
    pytest.param(SchedulerKind.EMBEDDED, False, id="boxes"),
    pytest.param(SchedulerKind.EMBEDDED_ROWS, False, id="rows"),
    pytest.param(SchedulerKind.REAL, False, id="rainbow", marks=pytest.mark.rainbow),
    pytest.param(
        *(SchedulerKind.REAL, True),
        id="rainbow-flux",
        marks=[pytest.mark.rainbow, pytest.mark.flux],
    ),
]


@pytest.mark.full
@pytest.mark.parametrize(("kind", "flux"), PARTS)
def test_a_sender_who_was_away_for_an_hour_misses_nothing(
    kind: SchedulerKind, flux: bool, tmp_path: Path
) -> None:
    """Every end, exit code and output once, and nothing of it comes to somebody else."""
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    environ = hasty(RATE)
    with running_site(
        *(tmp_path, kind),
        flux=flux,
        environ=environ,
        poll_min=1,
        poll_max=5,
        report_every=30,
    ) as site:
        assert site.program.run("register").code == 0
        alice, bob = (
            Desk(site, tmp_path / name, environ=environ, reply_within=10 * AWAY_S)
            for name in ("alice", "bob")
        )
        alice.make_inbox()
        bob.make_inbox("bob")
        handles = [alice.submit(*gated(site, number)) for number in range(len(CODES))]
        clock = Hooks(environ)
        away_until, number = clock.now() + AWAY_S, 0
        while number < len(CODES) or clock.now() < away_until:
            a_turn_of_kills(site, number, agent_first=number % 2 == 0)
            number += 1
        assert sorted(site.written()) == [str(number) for number in range(len(CODES))]
        with site.program.background("start"):
            assert alice.sender.run("wait", *handles).code == 3
            jobs = {job["handle"]: job for job in alice.sender.show("jobs", "--sent")}
            assert [jobs[each]["tasks"][0]["exit_code"] for each in handles] == list(CODES)
            for number, handle in enumerate(handles):
                assert alice.sender.run("logs", handle).out == f"out of {number}\n"
        assert (alice.in_inbox(), bob.in_inbox(), len(site.fleet.waiting())) == (0, 0, 0)


def gated(site: Site, number: int) -> list[str]:
    """A job that ends when its gate is open: it leaves a mark, some output, and its exit code."""
    gate = site.program.folder / f"gate-{number}"
    script = 'while [ ! -e "$1" ]; do sleep 0.1; done; echo "$2" >> "$3"; echo "out of $2"; exit $4'
    words = [str(gate), str(number), str(site.marks), str(CODES[number])]
    return ["sh", "-c", script, "sh", *words]


def a_turn_of_kills(site: Site, number: int, *, agent_first: bool) -> None:
    """One more job ends under an agent that is killed soon after, and a rainbow that is, too."""
    with site.program.background("start") as agent:
        eventually(lambda: len(site.program.rows()) == len(CODES), "it has all jobs")
        (site.program.folder / f"gate-{number}").touch()
        eventually(lambda: over(site) >= min(number + 1, len(CODES)), "it knows of the end")
        if agent_first:
            agent.kill()
        site.scheduler.kill()
        site.scheduler.start()
        if not agent_first:
            agent.kill()


def over(site: Site) -> int:
    """How many jobs are, by the ledger."""
    return sum(row.state in FINAL_JOB_STATES for row in site.program.rows())
