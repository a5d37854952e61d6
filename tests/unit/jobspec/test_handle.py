"""A handle in a jobspec: the last line of its text, and nothing else is one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.handles import handle_id, is_handle, is_inbox
from rainbow_agent.jobspec.handle import (
    HANDLE_ATTRIBUTE,
    attach,
    find,
    without_handle,
    without_line,
)
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.wire import from_wire, to_wire
from support.senders import make_handle

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "attributes": {"duration": "5m", "environment": {"A": "one\ntwo\n"}},
    "resources": {"one": {"type": "node", "count": 1}},
    "tasks": [{"name": "t", "command": ["true"], "resources": "one"}],
}


def test_a_handle_comes_back_from_the_text_that_is_sent() -> None:
    """Whatever else the jobspec says; and what it says stays."""
    text = to_wire(attach(DOCUMENT, make_handle(5)))
    assert find(text) == make_handle(5)
    attributes = from_wire(text)["attributes"]
    assert {k: v for k, v in attributes.items() if k != HANDLE_ATTRIBUTE} == DOCUMENT["attributes"]
    again = to_wire(attach(from_wire(text), make_handle(6)))
    assert find(again) == make_handle(6)


def test_a_handle_changes_nothing_of_the_plan() -> None:
    """It is no attribute that a task could have, and nothing is said of it."""
    plain, sent = plan_text(to_wire(DOCUMENT)), plan_text(to_wire(attach(DOCUMENT, make_handle())))
    assert sent == plain
    assert sent.warnings == ()


@pytest.mark.parametrize("key", ["attributes", "name"])
def test_copies_of_a_jobspec_are_one_text_without_their_handles(key: str) -> None:
    """So that they are planned once, and as the one without a handle."""
    document = {name: value for name, value in DOCUMENT.items() if name != key}
    sent = [to_wire(attach(document, make_handle(n))) for n in (1, 2)]
    assert sent[0] != sent[1]
    assert {without_line(text) for text in sent} == {without_line(sent[0])}
    assert from_wire(without_line(sent[0])) == document
    assert plan_text(without_line(sent[0])) == plan_text(sent[0]) == plan_text(to_wire(document))


def test_a_jobspec_without_attributes_gets_some() -> None:
    """The line is there all the same."""
    document = {key: value for key, value in DOCUMENT.items() if key != "attributes"}
    assert find(to_wire(attach(document, make_handle()))) == make_handle()


LINE = to_wire(attach(DOCUMENT, make_handle())).splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n",
        "",
        f"version: 1\nname: |\n{LINE}\n",
        f"version: 1\nattributes:\n{LINE}\nname: x\n",
        f"attributes:\n  environment:\n  {LINE}\n",
        f"attributes:\n{LINE} # or not\n",
        f"attributes:\n{LINE[:-6]}\n",
        f"attributes:\n  {HANDLE_ATTRIBUTE}: h1.e30\n",
        f"{LINE}\n",
    ],
)
def test_what_is_not_exactly_that_line_is_no_handle(text: str) -> None:
    """A script that quotes one, one that is cut off, one in another place."""
    assert find(text) is None
    assert without_handle(text) == text


def test_only_the_line_of_a_handle_is_left_out() -> None:
    """And not one in a script, nor the attributes beside it."""
    quoted = f"version: 1\nname: |\n{LINE}\n"
    assert without_line(quoted) == quoted
    assert without_line(f"attributes:\n  x: 1\n{LINE}\n") == "attributes:\n  x: 1\n"
    assert without_line(f"xattributes:\nattributes:\n{LINE}") == "xattributes:\n"


def test_an_inbox_that_could_be_a_cluster_with_jobs_is_no_inbox() -> None:
    """An agent sends rows to none whose name has not the prefix."""
    assert find(to_wire(attach(DOCUMENT, make_handle(inbox="blue")))) is None
    assert [name for name in ("inbox-a", "inbox-", "my-inbox-a") if is_inbox(name)] == ["inbox-a"]


def test_what_is_shown_of_a_handle_is_no_secret() -> None:
    """Its id stays, the nonce and the token do not."""
    text = to_wire(attach(DOCUMENT, make_handle()))
    shown = without_handle(text)
    assert shown.endswith(f"  {HANDLE_ATTRIBUTE}: {make_handle().id}\n")
    assert find(shown) is None
    assert repr(make_handle()).count("inbox-token") == 0


@given(st.binary(min_size=10, max_size=10))
def test_any_random_bytes_make_a_handle(random: bytes) -> None:
    """They have one form, by which a verb knows them."""
    assert is_handle(handle_id(random))
