"""The list of jobs names the task that decided a job's end, as the job itself does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rainbow_agent.core.states import TaskState
from rainbow_agent.monitoring.remedies import blamed
from rainbow_agent.storage.ledger_paging import LedgerPages
from support.ledger import add_job, checked_ledger, news


def test_a_list_blames_whom_the_job_blames(tmp_path: Path) -> None:
    """The first to fail of many, before what was canceled; nothing where there is one task."""
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        one = add_job(ledger, 1, "a")
        ledger.apply([news(one, "a", TaskState.FAILED, 1003.0, exit_code=1, reason="exit code 1")])
        well = add_job(ledger, 2, "a", "b")
        many = add_job(ledger, 3, "build", ("solve", 3), "plot")
        ledger.apply(
            [
                news(many, "build", TaskState.COMPLETED, 1003.0, exit_code=0),
                news(many, "plot", TaskState.CANCELED, 1004.0, reason="dependency: afterok"),
                news(many, "solve", TaskState.FAILED, 1006.0, reason="exit code 4", exit_code=4),
                news(
                    many,
                    "solve",
                    TaskState.FAILED,
                    1005.0,
                    replica=2,
                    reason="exit code 3",
                    exit_code=3,
                ),
                news(many, "solve", TaskState.CANCELED, 1004.0, replica=1, reason="canceled"),
            ]
        )
        jobs = [ledger.job(key) for key in (many, well, one)]
        with closing(LedgerPages.open(path)) as pages:
            listed = pages.page(states=(), before=None, text="", limit=10).jobs
    assert [each.blamed for each in listed] == [blamed(job)[0] for job in jobs if job]
    assert [each.blamed for each in listed] == ["solve[2]", None, None]
