"""`rainbow-agent run JOBSPEC`: straight to the workload manager, with the same planner."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rainbow_agent.jobspec.wire import to_wire
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import NO_FLUX, flux_command, private_flux
from support.program import Program, installed


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="local"),
        pytest.param(True, id="flux", marks=pytest.mark.flux),
    ],
)
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The program where a workload manager is in sight, and no rainbow."""
    folder = tmp_path_factory.mktemp("run")
    if not request.param:
        with installed(folder, workload="local", local_cores=4) as program:
            yield program
        return
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    with private_flux() as flux, installed(folder, environ={"FLUX_URI": flux.uri}) as program:
        yield program


def write(program: Program, document: dict[str, Any]) -> str:
    path = program.folder / f"{document['name']}.yaml"
    path.write_text(to_wire(document))
    return str(path)


def test_tasks_run_in_order(program: Program) -> None:
    """The dependent runs after every replica, each change is shown, and the end is 0."""
    marks = program.folder / "order"

    def note(word: str) -> list[str]:
        return ["sh", "-c", f"echo {word} >> {marks}"]

    document = jobspec(
        task(note("ior"), "ior", depends_on=["build"]),
        task(note("build"), "build", replicas=2),
        name="ordered",
    )
    answer = program.run("run", write(program, document))
    assert answer.code == 0, answer
    assert marks.read_text().split() == ["build", "build", "ior"]
    assert "build[1]" in answer.err
    assert answer.out == ""
    *_, last, end = answer.err.splitlines()
    assert "ior" in last
    assert "completed" in last
    assert end.startswith("ordered completed; `rainbow-agent logs ID` shows")


def test_what_tasks_print_is_shown(program: Program) -> None:
    """One task's output unchanged on its own streams; of several each line behind a name."""
    alone = jobspec(task(["sh", "-c", "printf 'a b\\tc'; echo bad >&2"]), name="alone")
    answer = program.run("run", write(program, alone))
    assert answer.out == "a b\tc"
    assert "bad\n" in answer.err
    assert answer.err.startswith("Running alone (1 task) on ")
    assert (f"local workload manager in {program.state_dir}" in answer.err) or "Flux" in answer.err
    again = jobspec(task(["echo", "x"], "twice", replicas=2), name="again")
    answer = program.run("run", write(program, again))
    assert sorted(answer.out.splitlines()) == ["twice[0]: x", "twice[1]: x"]
    several = jobspec(
        task(["echo", "one"], "first"), task(["echo", "two"], "second"), name="several"
    )
    answer = program.run("run", write(program, several))
    assert sorted(answer.out.splitlines()) == ["first: one", "second: two"]


def test_as_json_there_is_one_object(program: Program) -> None:
    """With the tasks as `jobs -o json` has them; what they print is on standard error."""
    document = jobspec(
        task(["sh", "-c", "echo seen; exit 3"], "bad"),
        task(["true"], "child", depends_on=["bad"]),
        name="object",
    )
    answer = program.run("run", "-o", "json", write(program, document))
    assert answer.code == 1
    found = answer.value
    assert (found["name"], found["state"], found["reason"]) == ("object", "failed", "exit code 3")
    assert found["workload"]["kind"] in ("flux", "local")
    bad, child = found["tasks"]
    assert (bad["state"], bad["exit_code"]) == ("failed", 3)
    assert bad["submitted"] <= bad["started"] <= bad["finished"]
    assert child["state"] == "canceled"
    assert child["reason"].startswith("it depends on bad, which ")
    assert "bad: seen" in answer.err
    again = program.run("logs", bad["flux_id"])
    assert (again.code, again.out) == (0, "seen\n"), again.err
    assert program.run("logs", "fzzzzzzz").code == 1


def test_a_failure_ends_with_1(program: Program) -> None:
    """A task that fails, or that is canceled because of it, is shown, and the end is 1."""
    never = program.folder / "never"
    document = jobspec(
        task(["sh", "-c", "exit 3"], "bad"),
        task(["touch", str(never)], "child", depends_on=["bad"]),
        name="failing",
    )
    answer = program.run("run", write(program, document))
    assert answer.code == 1
    assert "exit code 3" in answer.err
    assert "it depends on bad, which " in answer.err
    assert answer.err.splitlines()[-1].startswith("failing failed: bad: exit code 3; ")
    assert not never.exists()


def test_a_jobspec_that_cannot_run(program: Program) -> None:
    """What cannot be read, planned or ever run is reported; nothing of it runs."""
    path = program.folder / "broken.yaml"
    path.write_text("version: 1\ntasks: [{comand: [true]}]\n")
    broken = program.run("run", str(path))
    assert broken.code == 2
    assert "did you mean 'command'" in broken.err
    assert program.run("run", str(program.folder / "absent.yaml")).code == 2
    huge = program.run("run", write(program, jobspec(task(["true"]), name="huge", nodes=1000)))
    assert huge.code == 1
    assert "unsatisfiable" in huge.err


def test_an_interrupt_cancels(program: Program) -> None:
    """Ctrl-C ends what runs and what waits, and the program does not end with 0."""
    pid_file, never = program.folder / "pid", program.folder / "never-after"
    document = jobspec(
        task(["sh", "-c", f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 600"]),
        task(["touch", str(never)], "after", depends_on=["main"]),
        name="interrupted",
    )
    path = write(program, document)
    with program.background("run", path) as run:
        eventually(pid_file.exists, "the task runs")
        pid = int(pid_file.read_text())
        run.signal(signal.SIGINT)
        assert run.wait() == 1, run.log()
    eventually(lambda: not psutil.pid_exists(pid), "the task's process is gone")
    assert not never.exists()


def test_no_wait_leaves_it_running(program: Program, tmp_path: Path) -> None:
    """With `--no-wait` the program ends with 0 once all is submitted, and the tasks go on."""
    mark = tmp_path / "mark"
    document = jobspec(
        task(["touch", str(mark)], "second", depends_on=["first"]),
        task(["sleep", "0.2"], "first"),
        name="left",
    )
    assert program.run("run", "--no-wait", write(program, document)).code == 0
    eventually(mark.exists, "the second task ran")
