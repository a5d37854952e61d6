"""Two agents with one cluster's credentials: how they find out about each other. Pure.

Rainbow (075ee23) lets an agent read back nothing but the rows of its own list of jobs, and everyone
who has the cluster's secret reads the same list. So a question is a row, and so is its answer
(docs/decisions/0042). Their text is YAML without double quotes, as SubmitJob needs it, and a
jobspec without a task, as all our messages are: upstream's receiver, which has accepted all rows of
an answer when it reads the first, has nothing to run for it and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from rainbow_agent.core.model import Offer

#: The name of every such row.
QUESTION_JOB_NAME: Final = "rainbow-agent roll call"
_ASKS: Final = "asks-who-receives"
_ANSWERS: Final = "receives"
_SAFE: Final = "/.:-_"
_SAYS: Final = "# No job: rainbow-agents ask each other who receives this cluster's jobs.\n"
#: In 0.1.0 and before the text was no jobspec.
_NO_TASK: Final = "version: 1\ntasks: []\n"


@dataclass(frozen=True)
class AgentIdentity:
    """Who an agent is."""

    id: str  # random, of one run
    host: str  # its host's name
    pid: int
    since: float  # epoch seconds: since when this run
    folder: str  # its state folder

    def __str__(self) -> str:
        return f"host {self.host}, pid {self.pid}, state folder {self.folder}"


@dataclass(frozen=True)
class OwnershipRecord:
    """What a state folder says of itself."""

    registration: str
    held: bool  # False: others were asked, and it is not known yet
    secret_rotated: bool = True  # whether no other agent can have this registration's secret


@dataclass(frozen=True)
class OwnershipQuestion:
    """Somebody asks who receives the jobs."""

    row: int  # rainbow's id of it
    by: AgentIdentity
    old: bool = False  # by an agent that knows the old form only


@dataclass(frozen=True)
class OwnershipAnswer:
    """Somebody does."""

    row: int
    by: AgentIdentity
    to: str  # AgentIdentity.id of who asked


def question(by: AgentIdentity, *, old: bool = False) -> str:
    """The text of a row that asks; `old`: as 0.1.0 wrote it."""
    return _text(_ASKS, by, "", old=old)


def answer(by: AgentIdentity, to: str, *, old: bool = False) -> str:
    """The text of a row that answers, in the form in which it was asked."""
    return _text(_ANSWERS, by, to, old=old)


def sort_rows(
    offers: Iterable[Offer],
) -> tuple[list[Offer], list[OwnershipQuestion], list[OwnershipAnswer]]:
    """Sort rows: the jobs, the questions and the answers, each in order.

    Only what is word for word such a row is none of the jobs.
    """
    jobs: list[Offer] = []
    questions: list[OwnershipQuestion] = []
    answers: list[OwnershipAnswer] = []
    for offer in offers:
        found = _read(offer) if offer.name == QUESTION_JOB_NAME else None
        if found is None:
            jobs.append(offer)
        elif isinstance(found, OwnershipQuestion):
            questions.append(found)
        else:
            answers.append(found)
    return jobs, questions, answers


def _text(kind: str, by: AgentIdentity, to: str, *, old: bool) -> str:
    fields = {
        "rainbow-agent": kind,
        "id": by.id,
        "to": to or "everyone",
        "host": by.host,
        "pid": str(by.pid),
        "since": repr(by.since),
        "folder": by.folder,
    }
    mark = "" if old else "'"
    lines = (f"{name}: {mark}{quote(value, safe=_SAFE)}{mark}\n" for name, value in fields.items())
    return _SAYS + ("" if old else _NO_TASK) + "".join(lines)


def _read(offer: Offer) -> OwnershipQuestion | OwnershipAnswer | None:
    old = not offer.jobspec.startswith(_SAYS + _NO_TASK)
    lines = (line.partition(": ") for line in offer.jobspec.splitlines()[1:])
    fields = {name: unquote(value.strip("'")) for name, _, value in lines}
    try:
        by = AgentIdentity(
            id=fields["id"],
            host=fields["host"],
            pid=int(fields["pid"]),
            since=float(fields["since"]),
            folder=fields["folder"],
        )
        kind, to = fields["rainbow-agent"], fields["to"]
    except (KeyError, ValueError):
        return None
    if kind == _ASKS and offer.jobspec == question(by, old=old):
        return OwnershipQuestion(offer.id, by, old)
    if kind == _ANSWERS and offer.jobspec == answer(by, to, old=old):
        return OwnershipAnswer(offer.id, by, to)
    return None
