"""Questions and answers as rows of rainbow's list."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import Offer
from rainbow_agent.fleet import ownership_messages
from rainbow_agent.fleet.ownership_messages import AgentIdentity, OwnershipAnswer, OwnershipQuestion
from rainbow_agent.jobspec import wire

CARD = AgentIdentity("abc", "blue-0", 12, 1716000000.25, "/var/lib/agent")
ANY = st.text(st.characters(exclude_categories=["Cs"]))


def row(text: str, name: str = ownership_messages.QUESTION_JOB_NAME) -> Offer:
    return Offer(7, name, "blue", text)


@given(ANY, ANY, st.integers(1, 2**22), st.floats(0, 4e9), ANY, ANY, st.booleans())
def test_what_is_said_is_heard(
    who: str, host: str, pid: int, since: float, folder: str, to: str, old: bool
) -> None:
    """Whatever host and folder are called; the text is one that SubmitJob takes."""
    card = AgentIdentity(who, host, pid, since, folder)
    texts = [
        ownership_messages.question(card, old=old),
        ownership_messages.answer(card, to or "x", old=old),
    ]
    for text in texts:
        wire.check_text(text)
        assert '"' not in text
        assert old or yaml.safe_load(text)["tasks"] == []
    jobs, questions, answers = ownership_messages.sort_rows([row(text) for text in texts])
    assert (jobs, questions, answers) == (
        [],
        [OwnershipQuestion(7, card, old)],
        [OwnershipAnswer(7, card, to or "x")],
    )


@pytest.mark.parametrize(
    "offer",
    [
        row("version: 1\ntasks: []\n"),
        row(""),
        row(ownership_messages.question(CARD) + "more: 1\n"),
        row(ownership_messages.question(CARD).replace("pid: '12'", "pid: 'twelve'")),
        row(ownership_messages.question(CARD).replace("pid: '12'", "pid: 12")),
        row(ownership_messages.question(CARD), name="job"),
    ],
)
def test_all_else_is_a_job(offer: Offer) -> None:
    """What is not word for word a question or an answer is somebody's job, and stays one."""
    assert ownership_messages.sort_rows([offer]) == ([offer], [], [])
