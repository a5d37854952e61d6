"""Which clusters of the fleet can run a job: rainbow's matcher, asked as it understands it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rainbow_agent.core.handles import is_inbox
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.jobspec.questions import AllOf, AnyOf, Ask, IfStated, Question, Versions

#: Versions of one package on one node that are looked at.
_MAX_VERSIONS: Final = 32

Names = frozenset[str]


@dataclass(frozen=True)
class Fitting:
    """What rainbow says of a job."""

    clusters: tuple[str, ...]  # that can run it, sorted
    total: int  # clusters that rainbow knows
    problem: str = ""  # why none of them can, as the end of a sentence


def fitting(scheduler: Scheduler, questions: AllOf) -> Fitting:
    """The clusters that the questions leave."""
    matcher = _Matcher(scheduler)
    # The first call has all that has to be there in any case.
    first = [part for part in questions.parts if isinstance(part, Ask)]
    found = matcher.fit(questions, matcher.ask(first))
    problem = "" if found or not matcher.total else matcher.problem(questions)
    # What asks for nothing fits an inbox too, which runs nothing.
    clusters = sorted(name for name in found if not is_inbox(name))
    return Fitting(tuple(clusters), matcher.total, problem)


class _Matcher:
    """Asks as little as it can: the real server is not safe while its graphs are changed."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._known: dict[str, Names] = {}
        self.total = 0

    def fit(self, question: Question, among: Names) -> Names:
        """The clusters, of those `among`, that a question leaves."""
        match question:
            case Ask():
                return among & self.ask([question])
            case AllOf():
                return self._all(question, among)
            case AnyOf():
                return self._any(question, among)
            case Versions():
                return self._versions(question, among)
            case IfStated():
                missing = among - self.ask([question.enough])
                return among - self.fit(question.stated, missing) if missing else among
        return frozenset()

    def problem(self, questions: AllOf) -> str:
        """The first question that leaves no cluster, asked one by one."""
        left = self.ask([])
        for part in questions.parts:
            fits = self.fit(part, left)
            if not fits:
                some = len(left) < self.total
                who = f"none of those that have the rest ({', '.join(sorted(left))})"
                return f"{who if some else 'none'} has {_words(part)}"
            left = fits
        return "none has all of it"

    def _all(self, question: AllOf, among: Names) -> Names:
        asks = [part for part in question.parts if isinstance(part, Ask)]
        found = among & self.ask(asks) if asks else among
        for part in question.parts:
            if found and not isinstance(part, Ask):
                found = self.fit(part, found)
        return found

    def _any(self, question: AnyOf, among: Names) -> Names:
        left = among
        for part in question.parts:
            if left:
                left -= self.fit(part, left)
        return among - left

    def _versions(self, question: Versions, among: Names) -> Names:
        found: Names = frozenset()
        left = among
        for here, older in islice(question.asks(), _MAX_VERSIONS):
            fits = self.fit(here, left)
            found, left = found | fits, left - fits
            left = self.fit(older, left) if left else left
            if not left:
                break
        return found

    def ask(self, asks: Sequence[Ask]) -> Names:
        resources = {f"r{place}": ask.resource for place, ask in enumerate(asks)}
        key = json.dumps(resources, sort_keys=True)
        if key not in self._known:
            answer = self._scheduler.satisfy({"resources": resources})
            self.total = answer.total_clusters
            self._known[key] = frozenset(answer.clusters)
        return self._known[key]


def _words(question: Question) -> str:
    """What is asked for, for people."""
    match question:
        case AllOf():
            return " and ".join(_words(part) for part in question.parts)
        case AnyOf():
            return " or ".join(dict.fromkeys(_words(part) for part in question.parts))
    return question.what
