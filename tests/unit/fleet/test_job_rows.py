"""How rows of ReceiveJobs become offers, whatever stands in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rainbow_agent.core.errors import Rejected
from rainbow_agent.fleet.grpc.job_rows import giant
from rainbow_agent.fleet.grpc.job_rows import offer as read_offer

ROW = {"id": 3, "cluster": "blue", "name": "job", "jobspec": "version: 1\n", "command": ""}


def test_a_row_is_an_offer() -> None:
    """The server's JSON becomes an offer; the id is the one that accepting needs."""
    offer = read_offer("blue", 3, json.dumps(ROW))
    assert (offer.id, offer.name, offer.cluster, offer.jobspec) == (
        3,
        "job",
        "blue",
        "version: 1\n",
    )


@pytest.mark.parametrize(
    ("row", "cluster"),
    [
        ("", "blue"),
        ("not json", "blue"),
        ("[" * 100_000, "blue"),
        ("[1]", "blue"),
        (json.dumps({**ROW, "jobspec": 5}), "blue"),
        (json.dumps({**ROW, "jobspec": None}), "blue"),
        (json.dumps({**ROW, "cluster": "green"}), "green"),
        (json.dumps({**ROW, "cluster": 5}), "5"),
        (json.dumps({**ROW, "cluster": None}), "blue"),
        (json.dumps({**ROW, "id": 4}), "blue"),
        (json.dumps({**ROW, "id": "3"}), "blue"),
        (json.dumps({**ROW, "id": None}), "blue"),
        (json.dumps({**ROW, "jobspec": "\ud800"}), "blue"),
    ],
    ids=range(13),
)
def test_a_row_that_is_no_job_keeps_its_text(row: str, cluster: str) -> None:
    """It can be shown, refused and accepted; it never stops the others."""
    offer = read_offer("blue", 3, row)
    assert (offer.id, offer.cluster, offer.jobspec) == (3, cluster, row)
    assert offer.problem


def test_what_no_file_can_hold_is_in_no_offer() -> None:
    """JSON can write half a character; neither UTF-8 nor the ledger can."""
    for field in ("name", "cluster", "jobspec"):
        offer = read_offer("blue", 3, json.dumps({**ROW, field: "a\ud800b"}))
        assert bool(offer.problem) is (field != "name")
        for text in (offer.name, offer.cluster, offer.jobspec, offer.problem):
            text.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x12",
        b"\x12\xff",
        b"\x12\x04\x08\x01\x12\xff\xff",
        b"\xff" * 4_000_000,  # one number, if it were one
        bytes(4_000_000),  # fields without end
    ],
    ids=range(5),
)
def test_a_giant_answer_that_is_none_is_rejected(raw: bytes) -> None:
    """It ends in the middle of a number, or has no end, and is an error of ours, at once."""
    with pytest.raises(Rejected, match="no list of jobs"):
        giant("blue", raw)


@settings(deadline=None)  # the machine may be busy, and this is not about time
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_row_is_an_error(row: str) -> None:
    """Whatever a row holds, an offer comes of it."""
    assert read_offer("blue", 1, row).id == 1
