"""`cancel`: a job ends with all that belongs to it, whatever it is doing, and whatever is up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.common import eventually
from support.fleet import jobspec, task
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

LONG = ["sleep", "600"]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
        pytest.param(
            (SchedulerKind.REAL, True),
            id="rainbow-flux",
            marks=[pytest.mark.flux, pytest.mark.rainbow],
        ),
    ],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path_factory.mktemp("cancel"), kind, flux=flux) as site:
        registered = site.program.run("register")
        if registered.code:
            raise AssertionError(f"it cannot register: {registered}")
        yield site


def job(site: Site, name: str) -> dict[str, Any]:
    """The one job of this name."""
    (found,) = site.program.show("jobs", "--name", name)
    return dict(found)


def runs(site: Site, name: str) -> None:
    eventually(
        lambda: [j["state"] for j in site.program.show("jobs", "--name", name)] == ["running"],
        f"{name} runs",
        seconds=60,
    )


def pair(name: str) -> dict[str, Any]:
    """A task that takes long, and one that depends on it."""
    return jobspec(task(LONG, "first"), task(["true"], "second", depends_on=["first"]), name=name)


def test_beside_a_running_daemon(site: Site) -> None:
    """It ends at once with what depends on it; who and why are in its story, and it is reported."""
    with site.program.background("start"):
        site.fleet.send(pair("one"))
        runs(site, "one")
        number = str(job(site, "one")["id"])
        answer = site.program.run("cancel", number, "--reason", "wrong input")
        assert (answer.code, answer.out) == (0, f"job {number} (one) is canceled\n")
        found = job(site, "one")
        assert [t["state"] for t in found["tasks"]] == ["canceled", "canceled"]
        assert "wrong input" in found["reason"]
        eventually(lambda: "`canceled`" in site.program.run("explain", number).out, "it shows")
        output = site.program.run("explain", number).out
        assert "asked for its cancellation: wrong input" in output
        again = site.program.run("cancel", number)
        assert (again.code, again.out) == (1, f"job {number} (one) was over already: canceled\n")


def test_while_the_daemon_is_down(site: Site) -> None:
    """The workload manager ends it now; the next start reads that and reports it to rainbow."""
    with site.program.background("start") as agent:
        site.fleet.send(pair("two"))
        runs(site, "two")
        agent.kill()
    number = str(job(site, "two")["id"])
    answer = site.program.run("cancel", number)
    assert answer.code == 0
    assert "the cancellation was sent; the next start records how it ended" in answer.out
    site.program.until_idle()
    assert job(site, "two")["state"] == "canceled"


def test_a_job_that_is_over_stays_as_it_is(site: Site) -> None:
    """Nothing is canceled, and that is said."""
    site.fleet.send(jobspec(task(["true"], "a"), name="three"))
    site.program.until_idle()
    number = str(job(site, "three")["id"])
    answer = site.program.run("cancel", number)
    assert (answer.code, answer.out) == (1, f"job {number} (three) was over already: completed\n")
    assert site.program.run("cancel", "999").code == 1


def test_a_list_with_an_unknown_job_cancels_nothing(site: Site) -> None:
    """It is mistyped, and who typed it is to look at it again."""
    with site.program.background("start"):
        site.fleet.send(pair("five"))
        runs(site, "five")
        number = str(job(site, "five")["id"])
        answer = site.program.run("cancel", number, "999")
        assert answer.code == 1
        assert "no job 999" in answer.err
        assert "nothing was canceled" in answer.err
        assert job(site, "five")["state"] == "running"
        assert site.program.run("cancel", number).code == 0


def test_output_of_its_tasks(site: Site, tmp_path: Path) -> None:
    """`logs` has what each task wrote, one task as it was written, several with their names."""
    both = ["sh", "-c", "echo out; echo err >&2"]
    site.fleet.send(
        jobspec(task(both, "a"), task(["printf", "b"], "b", depends_on=["a"]), name="four")
    )
    site.program.until_idle()
    number = str(job(site, "four")["id"])
    one = site.program.run("logs", number, "a", "--follow")
    assert (one.code, one.out, one.err) == (0, "out\n", "err\n")
    all_of_it = site.program.run("logs", number)
    assert (all_of_it.out, all_of_it.err) == ("a: out\nb: b\n", "a: err\n")
    site.fleet.send(jobspec(task(["true"], "quiet"), name="silent"))
    site.program.until_idle()
    silent = site.program.run("logs", str(job(site, "silent")["id"]))
    assert (silent.code, silent.out) == (0, "")
    assert silent.err == "note: quiet completed and wrote nothing\n"
    wrong = site.program.run("logs", number, "c")
    assert wrong.code == 1
    assert "it has: a, b" in wrong.err
    events = site.program.show("explain", number)
    assert events["events_problem"] is None
    theirs = [e for e in events["timeline"] if e["task"] == "a" and e["source"] != "agent"]
    assert {e["source"] for e in theirs} == {site.program.show("status")["workload"]["kind"]}
    assert theirs[0]["event"] == "submit"
    assert theirs[-1]["event"] == "clean"
