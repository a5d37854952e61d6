"""A rainbow that is not there: one short sentence everywhere, and a line when it is back."""

from __future__ import annotations

from pathlib import Path

from support.common import eventually
from support.fleet import jobspec, task
from support.site import running_site

#: Of gRPC's own text, which is for the level debug.
LONG = ("failed to connect to all addresses", "ipv4:", "Failed to connect")


def test_it_is_said_in_one_sentence(tmp_path: Path) -> None:
    """By status, doctor, explain, submit, register and the log."""
    with running_site(tmp_path) as site, site.program.background("start") as agent:
        agent.says("Caught up")
        gate = tmp_path / "gate"
        wait = ["sh", "-c", f"until test -e {gate}; do sleep 0.05; done"]
        site.fleet.send(jobspec(task(wait), name="one"))
        eventually(lambda: [r.state.value for r in site.program.rows()] == ["running"], "it runs")
        eventually(lambda: site.fleet.state_holds("jobs_running == 1"), "rainbow knows it")
        host = site.scheduler.host
        site.scheduler.stop()
        gate.touch()
        site.program.await_end(1)
        said = f"rainbow at {host} does not answer: connection refused"
        eventually(lambda: said in agent.log(), "the log says so")

        def in_status() -> bool:
            view = site.program.show("status")
            return any(said in each["reason"] for each in view["reasons"])

        eventually(in_status, "status says so")
        assert said in " ".join(site.program.run("status").out.split())
        submit = site.program.run("submit", "--", "true")
        assert submit.code == 1
        assert said in submit.err
        doctor = site.program.run("doctor")
        assert f"{host}: connection refused" in doctor.out
        eventually(lambda: said in site.program.run("explain", "1").out, "explain says so")
        explain = site.program.run("explain", "1")
        for text in (repr(submit), repr(doctor), repr(explain), agent.log()):
            assert not [words for words in LONG if words in text], text
        site.scheduler.start()
        agent.says("Rainbow answers again, after ")
        assert agent.stop() == 0
