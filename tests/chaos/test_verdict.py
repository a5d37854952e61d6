"""The verdict on a storm: what tasks wrote against what was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.jobs import Book, Job, file_of
from chaos.parts import Row
from chaos.verdict import Verdict, judge
from support.groups import Node


def node(name: str, *needs: str, kind: str = "job", replicas: int = 1) -> Node:
    """A task."""
    return {"name": name, "kind": kind, "needs": [*needs], "replicas": replicas}


class Case:
    """A job `j` of a task with two replicas, and one after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = Job("j", [node("a", replicas=2), node("b", "a")])
        self.book = Book({"j": self.job})
        self.rows = [Row("j", "r/1", "completed", "", [])]
        for task, line in (("a", "+ 1"), ("a", "+ 1"), ("b", "+ 1")):
            self.write(task, line)

    def write(self, task: str, line: str) -> None:
        """A line of a task."""
        path = file_of(self.folder, "j", task)
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def forget(self, task: str) -> None:
        """A task that wrote nothing."""
        file_of(self.folder, "j", task).unlink()

    def found(self) -> dict[str, int]:
        """What the verdict found, and how often."""
        verdict: Verdict = judge(self.book, self.rows, self.folder)
        kinds = ("lost", "twice", "early", "untrue", "again", "robbed")
        return {kind: n for kind in kinds if (n := len(getattr(verdict, kind)))}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """All as it should be."""
    return Case(tmp_path)


def test_all_that_ran_once_is_good(case: Case) -> None:
    """Each replica wrote one line, the ledger says completed."""
    assert case.found() == {}


def test_a_third_run_of_two_is_twice(case: Case) -> None:
    """One more line than replicas."""
    case.write("a", "+ 1")
    assert case.found() == {"twice": 1}


def test_a_run_in_the_next_instance_is_twice_only_if_the_first_was_known(case: Case) -> None:
    """A start that died with its instance before anyone knew of it is made up for."""
    case.write("b", "+ 2")
    assert case.found() == {"again": 1}
    case.book.note_begun("j", "b", 1)
    assert case.found() == {"twice": 1}


def test_what_became_known_in_the_next_instance_was_not_known_in_the_first(case: Case) -> None:
    """The second instance dies, too: what it is known to have run replaced an unknown start."""
    case.write("b", "+ 2")
    case.book.note_begun("j", "b", 2)
    assert case.found() == {"again": 1}
    case.write("b", "+ 3")
    assert case.found() == {"twice": 1}


def test_a_start_that_stays_known_over_several_deaths_counts_once(case: Case) -> None:
    """One replica ended in the first instance; the other runs in the third, its second try."""
    case.forget("a")
    for line in ("+ 1", "+ 2", "+ 3"):
        case.write("a", line)
    for instance in (1, 2):
        case.book.note_begun("j", "a", instance)
    assert case.found() == {"again": 1}
    case.write("a", "+ 3")
    assert case.found() == {"twice": 1}


def test_a_task_that_was_not_to_run_and_ran_is_twice(case: Case) -> None:
    """What depends on a task that failed."""
    case.job.nodes[0]["kind"] = "bad"
    case.rows[0].state = "failed"
    assert case.found() == {"twice": 1}


def test_a_task_that_began_too_early_is_found(case: Case) -> None:
    """Its script says so."""
    case.write("b", "! a")
    assert case.found() == {"early": 1}


def _not_run(case: Case) -> None:
    case.forget("b")


def _no_end(case: Case) -> None:
    case.rows[0].state = "running"


def _unknown(case: Case) -> None:
    case.rows = []


@pytest.mark.parametrize("harm", [_not_run, _no_end, _unknown])
def test_an_accepted_job_that_did_not_run_or_has_no_end_is_lost(
    case: Case, harm: Callable[[Case], None]
) -> None:
    """One task did not run, the ledger has no end of it, or nothing at all."""
    harm(case)
    assert case.found() == {"lost": 1}


def test_a_job_that_a_database_lost_may_not_have_run(case: Case) -> None:
    """But it may not run twice."""
    case.job.excuse = "gone"
    _not_run(case)
    case.rows = []
    assert case.found() == {}
    for _ in range(2):
        case.write("b", "+ 1")
    assert case.found() == {"twice": 1}


def test_a_canceled_job_need_not_run_but_must_end(case: Case) -> None:
    """Somebody asked for its end."""
    case.job.canceled = True
    _not_run(case)
    case.rows[0].state = "canceled"
    assert case.found() == {}
    _no_end(case)
    assert case.found() == {"lost": 1}


LOST = frozenset({"lost"})


def lose(case: Case, *ends: tuple[str, str], state: str = "lost") -> None:
    """The job's tasks have these ends; `b` did not run."""
    case.forget("b")
    case.rows[0] = Row("j", "r/1", state, "its instance is gone", [*ends])


def test_what_was_lost_with_its_workload_manager_need_not_have_run(case: Case) -> None:
    """Nor what depends on it; the job is not completed then."""
    case.job.met = {"a": LOST}
    lose(case, ("a", "completed"), ("a", "lost"), ("b", "canceled"))
    assert case.found() == {"robbed": 1}
    case.rows[0].state = "completed"
    assert case.found() == {"untrue": 1}


@pytest.mark.parametrize(
    ("met", "ends", "state"),
    [
        pytest.param("b", ("canceled", "canceled"), "canceled", id="another end"),
        pytest.param("", ("lost", "canceled"), "lost", id="it was not there"),
        pytest.param("b", ("lost", "canceled"), "lost", id="only what depends on it was there"),
        pytest.param("b", ("completed", "failed"), "failed", id="failed"),
        pytest.param("a", ("completed", "lost"), "lost", id="another one was there"),
    ],
)
def test_the_end_of_a_workload_manager_excuses_nothing_else(
    case: Case, met: str, ends: tuple[str, str], state: str
) -> None:
    """Only a task that was in it, and only the end that its own end gave that."""
    case.job.met = {met: LOST} if met else {}
    lose(case, ("a", ends[0]), ("b", ends[1]), state=state)
    assert case.found() == {"lost": 1}


def test_a_job_that_was_there_and_lost_nothing_has_to_end_well(case: Case) -> None:
    """Its tasks waited, and went to the next one."""
    case.job.met = {"a": LOST, "b": LOST}
    case.rows[0].tasks = [("a", "completed"), ("b", "completed")]
    assert case.found() == {}
    case.rows[0].state = "failed"
    assert case.found() == {"untrue": 1}


def test_what_is_inside_a_lost_group_need_not_have_run(case: Case) -> None:
    """And what depends on the group."""
    group = {"name": "g", "kind": "group", "needs": [], "inside": [node("x"), node("y", "x")]}
    case.job.nodes = [group, node("b", "g")]
    case.forget("a")
    lose(case, ("g", "lost"), ("g/x", "lost"), ("g/y", "canceled"), ("b", "canceled"))
    assert case.found() == {"lost": 1}
    case.job.met = {"g": LOST}
    assert case.found() == {"robbed": 1}


@pytest.mark.parametrize("state", ["failed", "canceled", "refused"])
def test_another_end_than_what_was_seen_is_untrue(case: Case, state: str) -> None:
    """All ran, and the ledger says otherwise."""
    case.rows[0].state = state
    assert case.found() == {"untrue": 1}


def test_completed_without_a_run_is_untrue(case: Case) -> None:
    """Also of a job that need not have run."""
    case.job.canceled = True
    _not_run(case)
    assert case.found() == {"untrue": 1}
