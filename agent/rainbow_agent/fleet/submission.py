"""Sending a job to the fleet: which clusters fit, which of them we may use, which one got it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rainbow_agent.core.errors import DatabaseLocked, RequestDenied, Unavailable
from rainbow_agent.core.model import Plan
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.choosing import NoClusterFits, Selection, choose
from rainbow_agent.fleet.fitting import Fitting, fitting
from rainbow_agent.fleet.retry import patiently
from rainbow_agent.jobspec.asking import questions, unasked
from rainbow_agent.jobspec.once import with_key
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.unplaceable import asked
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.runtime.logs import counted


@dataclass(frozen=True)
class OutgoingJob:
    """A job to send."""

    name: str  # in rainbow's list
    document: Mapping[str, Any]  # its jobspec, which is sent as it stands
    plan: Plan  # what a cluster's agent will make of it


def job_of(document: Mapping[str, Any], once: str | None = None) -> OutgoingJob:
    """The job of a jobspec that can be planned.

    Args:
        document: the jobspec.
        once: the key by which a cluster recognises it when it is sent again; None for its own.

    Raises:
        UsageError: the key is none.
        JobspecError: the jobspec cannot be planned.
    """
    document = document if once is None else with_key(document, once)
    return OutgoingJob(str(document.get("name") or "job"), document, plan_text(to_wire(document)))


def find(scheduler: Scheduler, plan: Plan, cluster: str = "") -> Fitting:
    """The clusters that can run a job; at least one.

    Args:
        scheduler: the rainbow scheduler.
        plan: what a cluster's agent will make of it.
        cluster: the only one that is wanted; "" for any.

    Raises:
        NoClusterFits: with what there is instead.
    """
    open_needs = unasked(plan)
    if open_needs and not cluster:
        raise NoClusterFits(
            f"rainbow cannot be asked for {asked(open_needs[0])} ({open_needs[0].where}), and a"
            " cluster without it would refuse the job: name the cluster with --cluster"
        )
    found = fitting(scheduler, questions(plan))
    if not found.clusters:
        raise NoClusterFits(_none_fits(found))
    if cluster and cluster not in found.clusters:
        raise NoClusterFits(
            f"cluster {cluster} does not fit, or rainbow does not know it; these clusters fit:"
            f" {', '.join(found.clusters)}"
        )
    return found


def send(
    scheduler: Scheduler,
    job: OutgoingJob,
    selection: Selection,
    *,
    tokens: Mapping[str, str],
    fallback_token: str,
    config_file: str = "rainbow-config.yaml",
) -> tuple[str, Fitting]:
    """Give a job to one of the clusters that can run it; which one, and which could.

    Args:
        scheduler: the rainbow scheduler.
        job: what to send.
        selection: how the one is chosen.
        tokens: cluster to token.
        fallback_token: for matching clusters that `tokens` does not have; "" for none.
        config_file: where the tokens are from, for what is said where one is missing.

    Raises:
        NoClusterFits: none fits, none may be used, or none passes the selection.
        Unavailable: rainbow does not answer; where the job may be stored all the same, it says so.
        RequestDenied: rainbow does not take a token; which, and where it is from.
    """

    def ask() -> tuple[Fitting, dict[str, str]]:
        found = find(scheduler, job.plan, selection.cluster)
        usable = _usable(found, selection, tokens, fallback_token, config_file)
        if selection.on_our_side:
            chosen = choose(scheduler, usable, job.document, selection)
            usable = {chosen: usable[chosen]}
        return found, usable

    found, usable = patiently(ask)
    try:
        cluster = patiently(lambda: _hand_over(scheduler, job, selection, usable))
    except RequestDenied as exc:
        raise RequestDenied(_denied(usable, tokens, config_file)) from exc
    if isinstance(cluster, Unavailable):
        raise cluster
    return cluster, found


def _denied(usable: Mapping[str, str], tokens: Mapping[str, str], config_file: str) -> str:
    """Which tokens rainbow does not take, and where new ones are."""
    from_file = sorted(cluster for cluster in usable if cluster in tokens)
    others = sorted(cluster for cluster in usable if cluster not in tokens)
    each = [f"{', '.join(from_file)} (from {config_file})"] if from_file else []
    each += [f"{', '.join(others)} (RAINBOW_TOKEN)"] if others else []
    return (
        f"rainbow does not take the token for {' and '.join(each)}. It gives a new one when a"
        " cluster registers again, which is under `clusters` in the rainbow-config.yaml of that"
        " cluster's agent: copy it from there"
    )


def _hand_over(
    scheduler: Scheduler, job: OutgoingJob, selection: Selection, usable: Mapping[str, str]
) -> str | Unavailable:
    """SubmitJob; or the error after which it must not be called again.

    Raises:
        Unavailable: it may be called again: nothing was stored, or the job has a key.
    """
    own = selection.on_our_side
    text, algorithm = to_wire(job.document), "random" if own else selection.algorithm
    options = {} if own else selection.options
    try:
        (cluster,) = scheduler.submit(
            job.name, usable, text, select=algorithm, select_options=options
        )
    except DatabaseLocked:
        raise
    except Unavailable as exc:
        if job.plan.once:
            raise
        return Unavailable(
            f"{exc}. It is not known whether rainbow has the job: look for it before you send it"
            " again. With a key (--once KEY) a job can be sent again, and runs once"
        )
    return cluster


def _usable(
    found: Fitting,
    selection: Selection,
    tokens: Mapping[str, str],
    fallback_token: str,
    config_file: str,
) -> dict[str, str]:
    """The clusters that fit and that we have a token for."""
    wanted = (selection.cluster,) if selection.cluster else found.clusters
    usable = {c: tokens.get(c, fallback_token) for c in wanted}
    usable = {cluster: token for cluster, token in usable.items() if token}
    if not usable:
        raise NoClusterFits(
            f"these clusters fit: {', '.join(wanted)}; but {config_file} has a token for none of"
            f" them (it has tokens for: {', '.join(sorted(tokens)) or 'none'}). Rainbow gives a"
            " cluster's token to its agent when it registers, which writes it under `clusters` of"
            " its own rainbow-config.yaml: copy it from there, or set RAINBOW_TOKEN for all"
            " clusters that are not listed"
        )
    return usable


def _none_fits(found: Fitting) -> str:
    if not found.total:
        return (
            "no cluster fits: rainbow knows no cluster at all (it was restarted, or none has"
            " registered yet)"
        )
    return f"no cluster fits: rainbow knows {counted(found.total, 'cluster')}, and {found.problem}"
