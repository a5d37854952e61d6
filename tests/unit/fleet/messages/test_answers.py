"""Answers to senders: sealed, bounded, and never what was read before."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.fleet.messages import answers as module
from rainbow_agent.fleet.messages.answers import (
    Answers,
    counter_of,
    open_answer,
    seal_answer,
    turn_of,
)
from rainbow_agent.fleet.messages.keys import SenderKeys, new_seed
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock
from support.ledger import REGISTRATION, add_job, checked_ledger
from support.senders import CLUSTER, KEYS, make_handle, make_job


def test_an_answer_is_for_its_sender_and_its_question() -> None:
    """Nobody else reads it, and it is to no other question."""
    handle = make_handle(1)
    body = seal_answer(handle, 7, 9, b"output")
    assert b"output" not in body
    assert (counter_of(body), turn_of(body)) == (7, 9)
    assert open_answer(KEYS, handle.id, body) == b"output"
    moved = (8).to_bytes(8, "big") + body[8:]
    for keys, name, text in (
        (SenderKeys(new_seed()), handle.id, body),
        (KEYS, make_handle(2).id, body),
        (KEYS, handle.id, moved),
    ):
        with pytest.raises(ValueError, match="not sealed"):
            open_answer(keys, name, text)


def pieces(content: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(each[3]) for each in content["pieces"]]


def test_what_was_read_is_not_sent_again() -> None:
    """By who wrote it, wherever it was cut."""
    news = module._News({"1/stdout/0": 5, "2/stdout/0": 3})
    for flux_id, stream, data in (
        (1, "stdout", b"abc"),
        (2, "stdout", b"xyz"),
        (1, "stdout", b"defg"),
        (1, "stderr", b"oh"),
    ):
        news.add(OutputPiece(flux_id, stream, data))
    assert pieces(news.content()) == [b"fg", b"oh"]
    assert news.content()["dropped"] == {}


def test_of_very_much_the_newest_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how much is left out of what, so that it is not asked for again."""
    monkeypatch.setattr(module, "MAX_OUTPUT_BYTES", 10)
    news = module._News({})
    news.add(OutputPiece(1, "stdout", b"a" * 8))
    news.add(OutputPiece(1, "stderr", b"b" * 8))
    assert pieces(news.content()) == [b"b" * 8]
    assert news.content()["dropped"] == {"1/stdout/0": 8}
    news.add(OutputPiece(1, "stdout", b"c" * 25))
    assert pieces(news.content()) == [b"c" * 10]
    assert news.content()["dropped"] == {"1/stdout/0": 23, "1/stderr/0": 8}


def test_what_cannot_be_answered_says_why(tmp_path: Path) -> None:
    """The job's details are gone, or its workload manager cannot be asked."""
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        ledger.open_registration(REGISTRATION)
        key = add_job(ledger, 1)
        settings = Settings(cluster=CLUSTER, state_dir=tmp_path)
        answers = Answers(settings, lambda: SqliteLedger.open(path), FakeClock())
        assert "removed" in answers.answer(make_job().key, {"ask": "explain"})["error"]
        assert "version" in answers.answer(key, {"ask": "logs", "ids": 5})["error"]
        assert answers.answer(key, {"ask": "explain"})["view"]["job"]["id"] == 1
