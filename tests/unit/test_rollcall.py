"""Questions and answers as rows of rainbow's list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent import rollcall
from rainbow_agent.jobspec import wire
from rainbow_agent.model import Offer
from rainbow_agent.rollcall import Answer, Card, Question

CARD = Card("abc", "blue-0", 12, 1716000000.25, "/var/lib/agent")
ANY = st.text(st.characters(exclude_categories=["Cs"]))


def row(text: str, name: str = rollcall.NAME) -> Offer:
    return Offer(7, name, "blue", text)


@given(ANY, ANY, st.integers(1, 2**22), st.floats(0, 4e9), ANY, ANY)
def test_what_is_said_is_heard(
    who: str, host: str, pid: int, since: float, folder: str, to: str
) -> None:
    """Whatever host and folder are called; the text is one that SubmitJob takes."""
    card = Card(who, host, pid, since, folder)
    texts = [rollcall.question(card), rollcall.answer(card, to or "x")]
    for text in texts:
        wire.check_text(text)
        assert '"' not in text
    jobs, questions, answers = rollcall.heard([row(text) for text in texts])
    assert (jobs, questions, answers) == ([], [Question(7, card)], [Answer(7, card, to or "x")])


@pytest.mark.parametrize(
    "offer",
    [
        row("version: 1\ntasks: []\n"),
        row(""),
        row(rollcall.question(CARD) + "more: 1\n"),
        row(rollcall.question(CARD).replace("pid: 12", "pid: twelve")),
        row(rollcall.question(CARD), name="job"),
    ],
)
def test_all_else_is_a_job(offer: Offer) -> None:
    """What is not word for word a question or an answer is somebody's job, and stays one."""
    assert rollcall.heard([offer]) == ([offer], [], [])
