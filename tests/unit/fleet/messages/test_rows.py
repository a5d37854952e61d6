"""Messages as rows: they come back as they were, and nothing else is a message."""

from __future__ import annotations

import zlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.rows import Kind, Message, Part
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.wire import check_text

ID = "rb-aaaaaaaaaaaaaaaa"
PARTS = st.builds(
    Part, st.sampled_from(Kind), st.just(ID), st.binary(min_size=1), st.binary(min_size=1)
)


@given(st.lists(PARTS, max_size=5))
def test_a_message_comes_back_from_its_row(parts: list[Part]) -> None:
    """And rainbow can store its text."""
    message = Message("inbox-alice", "blue", tuple(parts))
    text = rows.write(message)
    check_text(text)
    assert rows.read(rows.ROW_NAME, text) == message


MESSAGE = Message("inbox-alice", "blue", (Part(Kind.STATE, ID, b"body", b"proof"),))
TEXT = rows.write(MESSAGE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job", TEXT),
        (rows.ROW_NAME, TEXT + "\n"),
        (rows.ROW_NAME, TEXT.replace("to: ", "to:  ")),
        (rows.ROW_NAME, TEXT.replace("- state", "- command")),
        (rows.ROW_NAME, TEXT[1:]),
        (rows.ROW_NAME, TEXT.replace("blue", "Blue!")),
        (rows.ROW_NAME, TEXT + "tasks: []\n"),
        (rows.ROW_NAME, TEXT.replace("tasks: []", "tasks: [{command: rm}]")),
        (rows.ROW_NAME, TEXT.rstrip("\n")),
        (rows.ROW_NAME, "version: 1"),
        (rows.ROW_NAME, ""),
    ],
)
def test_what_is_not_word_for_word_a_message_is_a_job(name: str, text: str) -> None:
    """So that nobody loses a job that looks like one."""
    assert rows.read(name, text) is None


def test_a_message_has_nothing_to_run() -> None:
    """An agent that does not know it refuses a job; another receiver finds no task in it."""
    with pytest.raises(JobspecError, match="unknown key 'rainbow-agent'"):
        plan_text(TEXT)
    document = yaml.safe_load(TEXT)
    assert (document["version"], document["tasks"]) == (1, [])


def test_content_is_bounded() -> None:
    """A few bytes that unpack to very many are not unpacked."""
    assert rows.unpack(rows.pack({"a": 1})) == {"a": 1}
    bomb = zlib.compress(b'{"a": "' + b"x" * rows.MAX_CONTENT_BYTES + b'"}')
    for body in (bomb, b"", b"x", zlib.compress(b"[1]"), zlib.compress(b"{")):
        with pytest.raises(ValueError, match=r"."):
            rows.unpack(body)


def test_what_is_signed_tells_all_places_apart() -> None:
    """From where, to whom, what and about which job: each changes it."""
    base = ("inbox-a", "blue", Kind.STATE, ID, b"body")
    others = [
        ("inbox-b", *base[1:]),
        (base[0], "green", *base[2:]),
        (*base[:2], Kind.ANSWER, *base[3:]),
        (*base[:3], "rb-bbbbbbbbbbbbbbbb", base[4]),
        (*base[:4], b"other"),
    ]
    assert len({rows.signed(*each) for each in (base, *others)}) == 6


def test_parts_are_portioned_by_number_and_size() -> None:
    """None is lost, and one that is too large goes alone."""
    parts = [Part(Kind.STATE, ID, b"x" * size, b"p") for size in (10, 10, 500, 10, 10, 10)]
    portions = rows.portions(parts, 2, 100)
    assert [len(portion) for portion in portions] == [2, 1, 2, 1]
    assert [part for portion in portions for part in portion] == parts
    assert rows.portions([], 2, 100) == []
