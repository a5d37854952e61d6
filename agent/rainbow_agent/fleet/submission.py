"""Sending a job to the fleet: which clusters fit, which of them we may use, which one got it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import SatisfyAnswer
from rainbow_agent.core.ports import Scheduler


class NoClusterFits(RainbowAgentError):
    """No cluster of the fleet matches the job, or none that we have a token for."""


@dataclass(frozen=True)
class Assignment:
    """Where a job went."""

    name: str
    clusters: tuple[str, ...]  # the one that got it; with satisfy_only all that could
    answer: SatisfyAnswer


def send(
    scheduler: Scheduler,
    document: Mapping[str, Any],
    *,
    name: str,
    tokens: Mapping[str, str],
    fallback_token: str,
    to_wire: Callable[[Mapping[str, Any]], str],
    select: str = "",
    satisfy_only: bool = False,
    asking: Sequence[Mapping[str, Any]] = (),
) -> Assignment:
    """Satisfy, then SubmitJob to one of the clusters that match.

    Args:
        scheduler: the rainbow scheduler.
        document: a jobspec.
        name: the job's name in rainbow's list.
        tokens: cluster to token.
        fallback_token: for matching clusters that `tokens` does not have; "" for none.
        to_wire: writes the jobspec so that the server can store it.
        select: a selection algorithm's name; "" for the server's own choice.
        satisfy_only: ask, submit nothing.
        asking: what to ask the matcher, until a cluster fits; the jobspec itself when empty.

    Raises:
        NoClusterFits: with what there is instead.
    """
    for variant in asking or (document,):
        answer = scheduler.satisfy(variant)
        if answer.clusters:
            break
    usable = {c: tokens.get(c, fallback_token) for c in answer.clusters}
    usable = {cluster: token for cluster, token in usable.items() if token}
    if not answer.clusters:
        raise NoClusterFits(_none_fits(answer, tokens))
    if not usable:
        fitting = ", ".join(answer.clusters)
        raise NoClusterFits(
            f"these clusters fit: {fitting}; but there is a token for none of them: add it to"
            " `clusters` of the config file, or set RAINBOW_TOKEN"
        )
    chosen = scheduler.submit(
        name, usable, to_wire(document), select=select, satisfy_only=satisfy_only
    )
    return Assignment(name, tuple(chosen), answer)


def _none_fits(answer: SatisfyAnswer, tokens: Mapping[str, str]) -> str:
    known = ", ".join(sorted(tokens)) or "none"
    if not answer.total_clusters:
        return (
            "no cluster fits: rainbow knows no cluster at all (it was restarted, or none has"
            f" registered yet); the config file has tokens for: {known}"
        )
    return (
        f"no cluster fits: rainbow knows {answer.total_clusters}, and none has what the job's"
        f" resources ask for; the config file has tokens for: {known}"
    )
