"""What tasks print, over HTTP: to whom, of which task; and jobs by the node that they run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.monitoring.http.app import App
from rainbow_agent.monitoring.http.routes import Routes
from rainbow_agent.runtime.counters import Counter
from support.web import Shop


class Visit:
    """Asks the routes over a ledger, as somebody on this machine."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)
        self.shop.fill(12)
        self._app = App(Routes(self.shop.live()).routes(), local=False, counts=Counter())

    def get(self, path: str, host: str = "localhost:8788") -> tuple[int, Any]:
        """The status, and the JSON of an answer."""
        told: list[str] = []
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "HTTP_HOST": host,
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "5000",
            "SERVER_PORT": "8788",
        }
        body = b"".join(self._app(environ, lambda status, _: told.append(status)))
        return int(told[0].split()[0]), json.loads(body)


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    return Visit(tmp_path)


def test_the_task_that_is_to_blame_is_shown_first(visit: Visit) -> None:
    """With the command that shows all of it."""
    assert visit.get("/api/jobs/r1/9/output") == (
        200,
        {
            "task": "solve[4]",
            "command": "rainbow-agent logs 9 'solve[4]'",
            "pieces": [
                {"stream": "stdout", "text": "step 1\nstep 2\n"},
                {"stream": "stderr", "text": "solve: no convergence\n"},
            ],
            "cut": False,
            "note": None,
        },
    )


@pytest.mark.parametrize(
    ("job", "task", "shown", "note"),
    [
        (9, "build", "build", None),
        (9, "solve[3]", "solve[3]", None),
        (9, "solve", "solve", None),
        (8, "", "archive", None),
        (10, "", "solve", None),
        (11, "", "", "no task of it has started"),
    ],
)
def test_any_task_can_be_asked_for(
    visit: Visit, job: int, task: str, shown: str, note: str | None
) -> None:
    """Without a name it is the last that started; what has nothing to show says why."""
    status, found = visit.get(f"/api/jobs/r1/{job}/output?task={task}")
    assert (status, found["task"], found["note"]) == (200, shown, note)


def test_silence_is_said(visit: Visit) -> None:
    """So is a task or a job that is not there."""
    visit.shop.records.written = []
    assert visit.get("/api/jobs/r1/9/output")[1]["note"] == "it has written nothing"
    assert visit.get("/api/jobs/r1/9/output?task=nope") == (
        404,
        {"error": "job 9 has no task 'nope'"},
    )
    assert visit.get("/api/jobs/r1/99/output")[0] == 404


def test_others_do_not_see_what_tasks_print(visit: Visit) -> None:
    """Nor does a web page that was made to point here, through a browser that may."""
    visit.shop.owner_asks = False
    status, found = visit.get("/api/jobs/r1/9/output")
    assert status == 403
    assert "the agent's own user and root" in found["error"]
    visit.shop.owner_asks = True
    assert visit.get("/api/jobs/r1/9/output", host="evil.example:8788")[0] == 403


def test_a_workload_manager_that_does_not_answer_is_said(visit: Visit) -> None:
    """The rest of the page is there."""
    visit.shop.workload_problem = "Flux at local:///x does not answer"
    for path in ("/api/jobs/r1/9/output", "/api/jobs?node=0"):
        assert visit.get(path) == (503, {"error": "Flux at local:///x does not answer"})
    assert visit.get("/api/jobs/r1/9")[0] == 200
    assert visit.get("/api/jobs")[0] == 200


def test_jobs_of_a_node_are_those_that_run_there(visit: Visit) -> None:
    """Ids of the workload manager that the ledger does not have are somebody else's jobs."""
    visit.shop.records.running = {3: [10 * 1000 + 3 * 50 + 7, 4711]}
    status, found = visit.get("/api/jobs?node=3")
    assert (status, found["total"], [job["id"] for job in found["jobs"]]) == (200, 1, [10])
    assert visit.get("/api/jobs?node=2")[1]["total"] == 0
    assert visit.get("/api/jobs?node=3&state=failed")[1]["total"] == 0
    assert visit.get("/api/jobs?node=x")[0] == 400
