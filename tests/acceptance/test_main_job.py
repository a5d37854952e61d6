"""The main job, end to end: the installed program over each pair of parts."""

from __future__ import annotations

import json
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support import shapes
from support.fleet import Fleet
from support.flux import NO_FLUX, flux_command
from support.program import installed
from support.servers import SchedulerKind, running_scheduler
from support.story import NASTY, NASTY_NAME, SENT, Story, tell

REGISTRATION_SECRET = "marked-registration-secret-4711"
GLOBAL_TOKEN = f"marked-global-token-{secrets.token_hex(4)}"  # in no other process

PAIRS = [
    pytest.param(
        (scheduler, flux),
        id=f"{scheduler.value}-{'flux' if flux else 'local'}",
        marks=[pytest.mark.flux] * flux + [pytest.mark.rainbow] * (scheduler is SchedulerKind.REAL),
    )
    for scheduler in SchedulerKind
    for flux in (False, True)
]


@pytest.fixture(scope="module", params=PAIRS)
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """The story of one pair."""
    kind, flux = request.param
    if kind.missing():
        pytest.skip(kind.missing())
    if flux and flux_command() is None:
        pytest.skip(NO_FLUX)
    folder = tmp_path_factory.mktemp("story")
    marks = folder / "marks"
    marks.mkdir()
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            running_scheduler(kind, folder, secret=REGISTRATION_SECRET, global_token=GLOBAL_TOKEN)
        )
        program = stack.enter_context(
            installed(
                folder,
                environ={
                    "SOME_TOOL_TOKEN": f"prefix-{REGISTRATION_SECRET}",
                    "RAINBOW_STATE_cost_per_node_hour": "3",
                },
                host=scheduler.host,
                cluster="blue",
                secret=REGISTRATION_SECRET,
                token=GLOBAL_TOKEN,
                **({} if flux else {"workload": "local", "local_cores": 4}),
            )
        )
        story = Story(scheduler, program, flux, marks, Fleet(scheduler.host, program.config))
        tell(story)
        yield story


def test_before_it_ever_ran(story: Story) -> None:
    """`status` of a state folder that is not there names it, and exits with status 2."""
    assert story.never_ran is not None
    assert story.never_ran.code == 2
    assert f"there is no state folder {story.program.state_dir}" in story.never_ran.err


def test_submit_says_where_the_job_went(story: Story) -> None:
    """`submit` names the cluster, for a jobspec, a command, and text that breaks SQL."""
    assert story.submits["walk"].code == 0, story.submits["walk"]
    assert "cluster blue" in story.submits["walk"].out
    assert story.submits["plain"].code == 0, story.submits["plain"]
    assert story.submits["nasty"].code == 0, story.submits["nasty"]
    assert story.submits["nasty"].value["cluster"] == "blue"


def test_submit_says_that_no_cluster_fits(story: Story) -> None:
    """A job for 1000 nodes is not submitted: `submit` ends with 1 and says why."""
    huge = story.submits["huge"]
    assert huge.code == 1
    assert "no cluster fits" in huge.err
    assert huge.out == ""


def test_the_walk_through_runs_in_order(story: Story) -> None:
    """`ior` stands first in the file, and starts after `build` has ended."""
    assert story.job("spack-ior")["state"] == "completed"
    tasks = story.tasks("spack-ior")
    build, ior = tasks["build", 0], tasks["ior", 0]
    assert ior["depends_on"] == ["build"]
    assert ior["started"] >= build["finished"]
    assert (build["exit_code"], ior["exit_code"]) == (0, 0)
    assert story.mark("ior") == "built\n"


def test_a_plain_command_runs(story: Story) -> None:
    """What stands after `--` ran."""
    assert story.job("plain")["state"] == "completed"
    assert story.mark("plain") == "plain\n"


def test_every_character_arrives(story: Story) -> None:
    """Quotes, tabs, newlines, emoji and SQL arrive as they were written, wherever they stood."""
    assert story.mark("nasty-word") == NASTY
    assert story.mark("nasty-variable") == NASTY
    assert list(story.tasks(NASTY_NAME)) == [(NASTY_NAME, 0)]
    assert story.job(NASTY_NAME)["state"] == "completed"


def test_replicas_all_end_before_a_dependent_starts(story: Story) -> None:
    """Three replicas ran, each a job of its own, and the dependent after all of them."""
    tasks = story.tasks("replicas")
    replicas = [tasks["array", n] for n in range(3)]
    assert story.mark("array") == "one\n" * 3
    assert len({t["flux_id"] for t in replicas}) == 3
    assert tasks["late", 0]["started"] >= max(t["finished"] for t in replicas)


def test_what_depends_on_a_failure_is_canceled(story: Story) -> None:
    """A task that fails fails its job; what depends on it, near or far, never runs."""
    job, tasks = story.job("failing"), story.tasks("failing")
    assert (job["state"], job["reason"]) == ("failed", "exit code 3")
    assert (tasks["bad", 0]["state"], tasks["bad", 0]["exit_code"]) == ("failed", 3)
    for name in ("child", "grandchild"):
        assert tasks[name, 0]["state"] == "canceled"
        assert tasks[name, 0]["started"] is None
        assert "depend" in tasks[name, 0]["reason"]
    assert not list(story.marks.glob("never-*"))


def test_a_script_runs(story: Story) -> None:
    """A command that begins with `#!/bin/bash` is a script, and bash runs it."""
    assert story.job("script")["state"] == "completed"
    assert story.mark("script") == '3 "\n'


def test_a_job_that_never_fits_is_refused(story: Story) -> None:
    """A job that rainbow let through and that can never run ends, and says why.

    In the manager's own words; over Fluxion, whose denial is looked into, in the agent's.
    """
    huge = story.job("huge")
    assert huge["state"] == "refused"
    assert "unsatisfiable" in huge["reason"] or "1000 nodes" in huge["reason"]


def test_a_broken_jobspec_is_refused_and_shown(story: Story) -> None:
    """What cannot be read is in the list with its place, and does not stop those after it."""
    broken = story.job("text")
    assert broken["state"] == "refused"
    assert "line" in broken["reason"]
    assert broken["tasks"] == []


def test_a_duration_ends_a_job(story: Story) -> None:
    """A task that runs beyond its duration has failed, and says so."""
    job = story.job("endless")
    assert job["state"] == "failed"
    assert "timeout" in job["reason"]
    assert story.tasks("endless")["main", 0]["finished"] is not None


def test_the_state_reached_rainbow(story: Story) -> None:
    """Rainbow has the nodes, cores, memory, job counts, version and the operator's numbers."""
    assert len(story.held) == 5, f"only these hold: {story.held}"


def test_status_while_it_runs(story: Story) -> None:
    """`status` shows the daemon, both sides in reach, and what is free."""
    view = story.status_running
    assert not list(shapes.breaches(view, shapes.STATUS))
    assert view["daemon"]["running"] is True
    assert view["daemon"]["heartbeat_age"] is not None
    assert view["rainbow"]["host"] == story.scheduler.host
    assert (view["rainbow"]["reachable"], view["workload"]["reachable"]) == (True, True)
    assert view["rainbow"]["last_contact"] is not None
    assert view["workload"]["kind"] == ("flux" if story.flux else "local")
    resources = view["resources"]
    assert resources["nodes_total"] == resources["nodes_free"] == (4 if story.flux else 1)
    assert resources["cores_total"] == resources["cores_free"] > 0
    assert view["jobs"] | {"completed": 6, "failed": 2, "refused": 2} == view["jobs"]


def test_status_after_it_stopped(story: Story) -> None:
    """`status` ends with 1, says since when the daemon is down, and still has the jobs."""
    assert story.stop_code == 0
    assert story.status_stopped is not None
    assert story.status_stopped.code == 1
    view = story.status_stopped.value
    assert not list(shapes.breaches(view, shapes.STATUS))
    assert (view["daemon"]["running"], view["daemon"]["pid"]) == (False, None)
    assert view["daemon"]["heartbeat_age"] is not None
    assert view["jobs"] == story.status_running["jobs"]
    text = story.program.run("status")
    assert text.code == 1
    assert re.match(
        r"stopped  exited with status 0, \d+ (s|min) ago: nothing is left to do\n", text.out
    )


def test_jobs_while_it_is_down(story: Story) -> None:
    """`jobs` answers from the ledger, and says on standard error for how long it is down."""
    assert story.jobs_stopped is not None
    assert story.jobs_stopped.code == 0
    assert len(story.jobs_stopped.value) == SENT
    assert re.search(r"no daemon is using .* knew \d+ (s|min) ago", story.jobs_stopped.err)


def test_the_documented_fields_of_jobs(story: Story) -> None:
    """Every job has every documented field, with its type; what started before it ended."""
    assert not list(shapes.breaches(story.jobs, shapes.JOBS))
    for job in story.jobs:
        for t in job["tasks"]:
            if t["started"] is not None:
                assert t["submitted"] <= t["started"] <= t["finished"], t


def test_one_state_and_one_job(story: Story) -> None:
    """`jobs --state` and `jobs JOB` show what they were asked for."""
    refused = story.program.show("jobs", "--state", "refused")
    assert {job["name"] for job in refused} == {"huge", "text"}
    wanted = story.job("spack-ior")
    shown = story.program.show("jobs", str(wanted["id"]))
    assert shown == [{**wanted, "warnings": []}]
    output = story.program.run("jobs", str(wanted["id"])).out
    assert "\nbuild " in output
    assert "\n└─ ior " in output
    output = story.program.run("explain", str(wanted["id"])).out
    assert "exit code 0" in output


def test_until_idle_runs_what_came_while_it_was_down(story: Story) -> None:
    """`start --until-idle` took the job that had waited, ran it, and ended with 0."""
    assert story.idle_code == 0
    assert story.job("last")["state"] == "completed"
    assert story.mark("last") == ""


def test_rainbow_was_told_of_every_job(story: Story) -> None:
    """Nothing waits in rainbow any more, and every job is marked as accepted."""
    assert story.received is not None
    assert story.received.value == []
    assert all(job["accepted"] for job in story.jobs)


def test_secrets_stay_where_they_belong(story: Story) -> None:
    """They are in rainbow-config.yaml only, but for the copy of the cluster's secret."""
    secrets = {
        "registration secret": REGISTRATION_SECRET,
        "token": GLOBAL_TOKEN,
        "cluster secret": story.fleet.credentials.cluster_secret,
    }
    assert all(secrets.values())
    answers = [story.never_ran, story.status_stopped, story.jobs_stopped, story.received]
    texts = {
        "logs": story.program.logs(),
        "answers": repr([*answers, *story.submits.values(), story.status_running, story.jobs]),
        "the environment of a job": story.mark("environment"),
        "ps": "\n".join(story.arguments),
    }
    copy = story.program.state_dir / "cluster-secret.json"
    assert [story.fleet.credentials.cluster_secret] == [
        secret for secret in secrets.values() if secret in copy.read_text(encoding="utf-8")
    ]
    for path in story.program.state_dir.rglob("*"):
        if path.is_file() and path not in (story.program.config, copy):
            texts[str(path)] = path.read_bytes().decode(errors="replace")
    assert "ledger.sqlite" in " ".join(texts)
    assert "rainbow-agent start" in texts["ps"]
    assert "PATH=" in texts["the environment of a job"]
    found = [(s, where) for s, v in secrets.items() for where, text in texts.items() if v in text]
    assert found == []


def test_the_state_folder_is_private(story: Story) -> None:
    """Only its owner can look into the state folder, or read the credentials."""
    assert stat.S_IMODE(story.program.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(story.program.config.stat().st_mode) == 0o600


def test_logs_are_json_where_no_terminal_is(story: Story) -> None:
    """Each line of the daemon's log is one JSON object with time, level and a sentence."""
    text = "\n".join(line for line in story.program.logs().splitlines() if line.startswith("{"))
    entries = [json.loads(line) for line in text.splitlines()]
    assert entries
    assert all(shapes.RFC_3339.fullmatch(entry["time"]) and entry["message"] for entry in entries)
