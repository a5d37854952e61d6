"""How rows of ReceiveJobs become offers, whatever stands in them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rainbow_agent.core.model import Offer
from rainbow_agent.fleet.grpc.job_rows import MAX_JOB_ROW_BYTES, offer
from rainbow_agent.jobspec.yamltext import MAX_TEXT


def read_offer(cluster: str, job_id: int, row: str | bytes) -> Offer:
    return offer(cluster, job_id, row.encode() if isinstance(row, str) else row)


ROW = {"id": 3, "cluster": "blue", "name": "job", "jobspec": "version: 1\n", "command": ""}


def test_a_row_is_an_offer() -> None:
    """The server's JSON becomes an offer; the id is the one that accepting needs."""
    found = read_offer("blue", 3, json.dumps(ROW))
    assert (found.id, found.name, found.cluster, found.jobspec) == (
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
    found = read_offer("blue", 3, row)
    assert (found.id, found.cluster, found.jobspec) == (3, cluster, row)
    assert found.problem


def test_what_no_file_can_hold_is_in_no_offer() -> None:
    """JSON can write half a character; neither UTF-8 nor the ledger can."""
    for field in ("name", "cluster", "jobspec"):
        found = read_offer("blue", 3, json.dumps({**ROW, field: "a\ud800b"}))
        assert bool(found.problem) is (field != "name")
        for text in (found.name, found.cluster, found.jobspec, found.problem):
            text.encode()


def test_a_row_that_is_not_text_is_kept_as_far_as_it_can_be_read() -> None:
    """It is refused like any other, and does not stop those beside it."""
    found = read_offer("blue", 3, b'{"name": "\xff"}')
    assert "not JSON" in found.problem
    assert found.jobspec == '{"name": "\ufffd"}'


def test_a_row_longer_than_a_jobspec_may_be_is_kept_in_part() -> None:
    """With its name and its length; it is refused, and the ledger does not hold it."""
    row = json.dumps({"id": 3, "cluster": "blue", "name": "large", "jobspec": "x"})
    row = (
        row.replace(", ", ",")
        .replace(": ", ":")
        .replace('"x"', '"' + "x" * MAX_JOB_ROW_BYTES + '"')
    )
    found = read_offer("blue", 3, row.encode())
    assert (found.id, found.name, len(found.jobspec)) == (3, "large", MAX_TEXT)
    assert re.match(r"the job is 8,4\d\d,\d{3} bytes long, more than is read", found.problem)


@settings(deadline=None)  # the machine may be busy, and this is not about time
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_row_is_an_error(row: str) -> None:
    """Whatever a row holds, an offer comes of it."""
    assert read_offer("blue", 1, row).id == 1
