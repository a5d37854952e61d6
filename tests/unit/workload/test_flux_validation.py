"""Which submissions Flux is asked to check: one of each form, or all if the operator says how."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.workload_values import (
    Submission,
    SubmitHeld,
    SubmitOutcome,
    SubmitRefused,
    Submitted,
)
from rainbow_agent.workload.flux.connection import Connection
from rainbow_agent.workload.flux.trial import TRIAL_JOB_NAME as TRIAL
from rainbow_agent.workload.flux.validation import CACHE_S, Validation, configured
from rainbow_agent.workload.flux.workload import FluxWorkload
from support.common import eventually
from support.flux import NO_FLUX, PrivateFlux, flux_command, private_flux
from support.local_workload import make_jobspec
from support.places import new_key

needs_flux = pytest.mark.skipif(flux_command() is None, reason=NO_FLUX)


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


def job(change: Callable[[dict[str, Any]], None] = lambda _: None, *after: int) -> Submission:
    """A complete submission, changed."""
    jobspec = make_jobspec(["true"])
    jobspec["attributes"]["system"]["environment"] = {"PATH": "/bin"}
    change(jobspec)
    return Submission(new_key(), jobspec, after)


def fresh(*, every_job: bool = False, clock: Clock | None = None) -> Validation:
    """What knows of no form yet."""
    validation = Validation(lambda: every_job, clock or Clock())
    validation.refresh()
    return validation


def copy_of(first: Submission, second: Submission) -> bool:
    """Whether the second needs no check once the first was taken."""
    validation = fresh()
    validation.passed(validation.form(first))
    return not validation.needed(validation.form(second))


def _put(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one place in a jobspec, `a.b.c`."""
    *path, last = place.split(".")

    def change(jobspec: dict[str, Any]) -> None:
        inner: Any = jobspec
        for name in path:
            inner = inner[int(name) if name.isdigit() else name]
        inner[last] = value

    return change


def test_nothing_is_a_copy_before_flux_took_one() -> None:
    """A form that was sent but not answered, or was refused, is checked again."""
    validation = fresh()
    form = validation.form(job())
    assert form is not None
    assert validation.needed(form)
    validation.passed(form)
    assert not validation.needed(form)


@given(words=st.lists(st.text(), min_size=1), variables=st.dictionaries(st.text(), st.text()))
def test_words_make_no_other_form(words: list[str], variables: dict[str, str]) -> None:
    """Commands and environments of any words, and keys of ours, are copies of each other."""

    def change(jobspec: dict[str, Any]) -> None:
        jobspec["tasks"][0]["command"] = words
        jobspec["attributes"]["system"]["environment"] = variables
        jobspec["attributes"]["user"] = {"rainbow": {"job": len(words)}}

    assert copy_of(job(), job(change))


def test_which_jobs_are_waited_for_makes_no_other_form_but_how_many_does() -> None:
    """An id is checked by the job manager, for every job."""
    assert copy_of(job(lambda _: None, 1), job(lambda _: None, 2))
    assert not copy_of(job(lambda _: None, 1), job(lambda _: None, 1, 2))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("version", 2),
        ("resources.0.count", 7),
        ("resources.0.label", "other"),
        ("resources.0.with", []),
        ("tasks.0.slot", "other"),
        ("tasks", []),
        ("tasks", ["true"]),
        ("tasks.0.count", {"total": 3}),
        ("tasks.0.command", []),
        ("tasks.0.command", "a string"),
        ("tasks.0.command", ["a", 1]),
        ("attributes.system.duration", 99),
        ("attributes.system.duration", "99"),
        ("attributes.system.queue", "debug"),
        ("attributes.system.constraints", {"ranks": ["0"]}),
        ("attributes.system.environment", {"PATH": 1}),
        ("attributes.system.environment", {1: "x"}),
        ("attributes.system.environment", ["PATH"]),
        ("attributes.system.environment", None),
        ("attributes.other", {}),
        ("more", 1),
    ],
)
def test_all_else_makes_another_form(place: str, value: Any) -> None:
    """Whatever Flux's validator could mind is looked at by it."""
    assert not copy_of(job(), job(_put(place, value)))


def test_forms_are_checked_anew_after_a_while() -> None:
    """Flux may have been configured otherwise meanwhile; that is asked as seldom."""
    clock, asked = Clock(), list[float]()

    def ask() -> bool:
        asked.append(clock.now)
        return False

    validation = Validation(ask, clock)
    for clock.now in (0.0, CACHE_S / 2):
        validation.refresh()
        validation.passed(validation.form(job()))
    assert not validation.needed(validation.form(job()))
    clock.now = CACHE_S
    validation.refresh()
    assert validation.needed(validation.form(job()))
    assert asked == [0.0, CACHE_S]


def test_where_the_operator_configured_validation_every_job_goes_through_it() -> None:
    """Its plugins may look at anything."""
    validation = fresh(every_job=True)
    validation.passed(validation.form(job()))
    assert validation.needed(validation.form(job()))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, False),
        ({"ingest": {"batch-count": 4}}, False),
        ({"ingest": {"frobnicator": {"plugins": ["defaults"]}}}, False),
        ({"ingest": {"validator": {}}}, True),
        ({"ingest": {"validator": {"plugins": ["require-instance"]}}}, True),
        ({"ingest": None}, False),
    ],
)
def test_a_word_about_validators_is_configuration(config: dict[str, Any], expected: bool) -> None:
    """The table ingest.validator of flux-config-ingest(5), whatever it says."""
    assert configured(config) is expected


def _outcomes(workload: FluxWorkload, count: int) -> list[SubmitOutcome]:
    found: list[SubmitOutcome] = []

    def there() -> bool:
        found.extend(workload.collect_outcomes(0.2))
        return len(found) >= count

    eventually(there, f"{count} outcomes")
    return found


def _checked(flux: PrivateFlux) -> int:
    """How many jobs Flux's validators have looked at."""
    with closing(Connection(flux.uri)) as connection:
        stats = connection.call("job-ingest.stats-get")
    return int(stats["pipeline"]["validator"]["requests"])


@needs_flux
@pytest.mark.flux
def test_flux_checks_one_of_many_copies() -> None:
    """The copies are jobs like all others; a jobspec that Flux would refuse is still refused."""
    with private_flux() as flux, closing(FluxWorkload(flux.uri)) as workload:
        workload.start_submit(job())
        _outcomes(workload, 1)
        for number in range(20):
            workload.start_submit(job(_put("tasks.0.command", ["true", str(number)])))
        assert all(isinstance(each, Submitted) for each in _outcomes(workload, 20))
        assert _checked(flux) == 1
        workload.start_submit(job(_put("tasks.0.command", [])))
        (refused,) = _outcomes(workload, 1)
        assert isinstance(refused, SubmitRefused)
        assert "command" in refused.reason
        flux.run("flux", "queue", "idle")
        # The refusal was followed by a trial (docs/decisions/0082), which never ran.
        words = flux.run("flux", "jobs", "-a", "-n", "-o", "{name}={status}").split()
        assert words.count(f"{TRIAL}=CANCELED") == 1
        ended = [word.partition("=")[2] for word in words if not word.startswith(TRIAL)]
        assert ended == ["COMPLETED"] * 21


@needs_flux
@pytest.mark.flux
def test_a_validator_of_the_operators_sees_every_job() -> None:
    """What it refuses by the words of a command is refused, also after a job of the same form."""
    only_instances = '--conf=ingest.validator.plugins=["jobspec", "require-instance"]'
    with (
        private_flux(options=[only_instances]) as flux,
        closing(FluxWorkload(flux.uri)) as workload,
    ):
        workload.start_submit(job(_put("tasks.0.command", ["flux", "start", "true"])))
        (taken,) = _outcomes(workload, 1)
        assert isinstance(taken, Submitted)
        workload.start_submit(job())
        (held,) = _outcomes(workload, 1)
        # This validator takes no plain command at all: that is for the operator to settle.
        assert isinstance(held, SubmitHeld)
