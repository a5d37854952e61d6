"""For tests: the main job as a story, run once over a pair of parts and looked at by many tests.

A cluster registers, gets jobs of every kind, is stopped when they are over, and is started once
more until nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from rainbow_agent import __version__
from rainbow_agent.jobspec.wire import to_wire
from support.common import eventually
from support.fleet import Fleet, jobspec, task
from support.program import Answer, Program, Running
from support.servers import SchedulerProcess

#: Text that breaks SQL, shells, YAML and terminals. A name is one line of printable characters.
NASTY: Final = 'he said "hi", it\'s\ta tab\nand `two` $LINES; DROP TABLE jobs; -- \\ 50% é 日本 🌈 '
NASTY_NAME: Final = 'a "name" 🌈; DROP TABLE jobs; --'
_UNDER_FLUX: Final = ("flux", "start", "--test-size=4")
#: Jobs that send_all() gets through.
SENT: Final = 3 + 7


@dataclass
class Story:
    """What happened, for the tests to look at."""

    scheduler: SchedulerProcess
    program: Program
    flux: bool
    marks: Path
    fleet: Fleet
    never_ran: Answer | None = None
    submits: dict[str, Answer] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)  # expressions that held of the reported state
    status_running: dict[str, Any] = field(default_factory=dict)
    stop_code: int | None = None
    idle_code: int | None = None
    status_stopped: Answer | None = None
    jobs_stopped: Answer | None = None
    arguments: list[str] = field(default_factory=list)  # of all processes, as `ps` shows them
    jobs: list[dict[str, Any]] = field(default_factory=list)
    received: Answer | None = None

    def job(self, name: str) -> dict[str, Any]:
        """The one job of this name."""
        (found,) = [job for job in self.jobs if job["name"] == name]
        return found

    def tasks(self, name: str) -> dict[tuple[str, int], dict[str, Any]]:
        """The tasks of that job by name and replica."""
        return {(t["name"], t["replica"]): t for t in self.job(name)["tasks"]}

    def mark(self, name: str) -> str:
        """What a job left behind."""
        return (self.marks / name).read_text(encoding="utf-8")

    def write(self, name: str, document: Mapping[str, Any] | str) -> str:
        """A jobspec file's path."""
        path = self.program.folder / name
        text = document if isinstance(document, str) else to_wire(document)
        path.write_text(text, encoding="utf-8")
        return str(path)


def _walk_through(marks: Path) -> str:
    """The walk-through's job as a person writes it: `ior` first, depending on `build`."""
    return f"""\
version: 1
name: spack-ior
resources:
  spack-resources:
    type: node
    count: 1
    with: [{{type: core, count: 2}}]
tasks:
- name: ior
  depends_on: [build]
  resources: spack-resources
  command: [bash, -c, "cat {marks}/built > {marks}/ior"]
- name: build
  resources: spack-resources
  command: [bash, -c, "sleep 0.3; echo built > {marks}/built"]
"""


def _direct_jobs(marks: Path) -> list[dict[str, Any] | str]:
    """Jobs that go to the server without our `submit`."""
    fail = ["sh", "-c", "exit 3"]
    return [
        jobspec(
            task(["touch", f"{marks}/late"], "late", depends_on=["array"]),
            task(["sh", "-c", f"echo one >> {marks}/array"], "array", replicas=3),
            name="replicas",
        ),
        jobspec(
            task(fail, "bad"),
            task(["touch", f"{marks}/never-1"], "child", depends_on=["bad"]),
            task(["touch", f"{marks}/never-2"], "grandchild", depends_on=["child"]),
            name="failing",
        ),
        jobspec(
            task(f"#!/bin/bash\nx=(a b c)\necho ${{#x[@]}} '\"' > {marks}/script\n", "s"),
            name="script",
        ),
        jobspec(task(["true"]), name="huge", nodes=1000),
        "version: 1\ntasks: [never, closed\n",
        jobspec(task(["sleep", "600"], duration="0.5s"), name="endless"),
        jobspec(task(["sh", "-c", f"env > {marks}/environment"]), name="environment"),
    ]


def _nasty_job(marks: Path) -> dict[str, Any]:
    """Text that breaks SQL, shells, YAML and terminals, in every place where text can stand."""
    script = f'printf %s "$1" > {marks}/nasty-word; printf %s "$NASTY" > {marks}/nasty-variable'
    words = ["sh", "-c", script, "sh", NASTY]
    return jobspec(task(words, NASTY_NAME, environment={"NASTY": NASTY}), name=NASTY_NAME)


def _send_all(story: Story) -> None:
    """Every kind of job, by `submit` and around it."""
    walk = story.write("jobspec-spack.yaml", _walk_through(story.marks))
    story.submits["walk"] = story.program.run("submit", walk)
    story.submits["plain"] = story.program.run(
        "submit", "--name", "plain", "--", "sh", "-c", f"echo plain > {story.marks}/plain"
    )
    nasty = story.write("nasty.yaml", _nasty_job(story.marks))
    story.submits["nasty"] = story.program.run("submit", nasty, "-o", "json")
    refused = {name: a for name, a in story.submits.items() if a.code}
    if refused:
        raise AssertionError(f"not submitted: {refused}")
    huge = story.write("huge.yaml", jobspec(task(["true"]), name="huge", nodes=1000))
    story.submits["huge"] = story.program.run("submit", huge)
    story.fleet.send(*_direct_jobs(story.marks))


def tell(story: Story) -> None:
    """The story, from the first `status` to the last `jobs`."""
    program = story.program
    story.never_ran = program.run("status", "-o", "json")
    with program.background("start", under=_UNDER_FLUX if story.flux else ()) as agent:
        eventually(lambda: _registered(program, agent), "the cluster is registered", seconds=60)
        _send_all(story)
        story.arguments = _process_arguments(besides=story.scheduler.pid)
        program.await_end(SENT)
        with suppress(AssertionError):  # what held until then is for a test to look at
            eventually(lambda: _reported(story), "the reported state is the truth")
            eventually(lambda: _at_rest(story), "status shows everything free again", seconds=40)
        psutil.Process(story.status_running["daemon"]["pid"]).terminate()
        story.stop_code = agent.wait()
    story.status_stopped = program.run("status", "-o", "json")
    story.jobs_stopped = program.run("jobs", "-o", "json")
    story.fleet.send(jobspec(task(["touch", f"{story.marks}/last"]), name="last"))
    with program.background(
        "start", "--until-idle", under=_UNDER_FLUX if story.flux else ()
    ) as agent:
        story.idle_code = agent.wait()
    story.jobs = program.show("jobs")
    story.received = program.run("receive", "-o", "json")


def _registered(program: Program, agent: Running) -> bool:
    if not agent.alive():
        raise AssertionError(f"the agent ended with {agent.wait()}:\n{agent.log()}")
    return program.config.exists() and bool(program.show("status")["registration"])


def _reported(story: Story) -> bool:
    nodes = 4 if story.flux else 1
    wanted = [
        f"nodes_total == {nodes} && nodes_free == {nodes}",
        "cores_free == cores_total && gpus_total == 0 && memory_per_node > 0",
        "cost_per_node_hour == 3",
        "jobs_completed == 6 && jobs_failed == 2 && jobs_refused == 2 && jobs_running == 0",
        f"agent_version == '{__version__}'",
    ]
    story.held = [expression for expression in wanted if story.fleet.state_holds(expression)]
    return story.held == wanted


def _at_rest(story: Story) -> bool:
    story.status_running = story.program.show("status")
    resources = story.status_running["resources"]
    total, free = resources["cores_total"], resources["cores_free"]
    return total is not None and bool(total == free)  # status may be seconds behind the start


def _process_arguments(besides: int) -> list[str]:
    """The command lines of all processes of this machine that we may see, but for one."""
    return [
        " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["pid", "cmdline"])
        if process.info["pid"] != besides
    ]
