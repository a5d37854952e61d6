"""Splitting a command line: shlex's answers, without shlex's time."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.jobspec.commands import split_words


def by_shlex(line: str) -> list[str] | None:
    """What shlex says; None where it says ValueError."""
    try:
        return shlex.split(line)
    except ValueError:
        return None


def by_us(line: str) -> list[str] | None:
    """What we say; None where it is ValueError."""
    try:
        return split_words(line)
    except ValueError:
        return None


@given(st.text(alphabet="ab'\"\\ \t\n\r#$|") | st.text())
def test_the_words_are_those_of_shlex(line: str) -> None:
    """Quotes, escapes, empty words and what cannot be split: the same for any line."""
    assert by_us(line) == by_shlex(line)


@given(st.lists(st.text()))
def test_quoted_words_come_back(words: list[str]) -> None:
    """What shlex.join() wrote is read as it was."""
    assert split_words(shlex.join(words)) == words


@pytest.mark.parametrize("line", ["a" * 2_000_000, "'a'" * 500_000, '"' + "\\a" * 500_000 + '"'])
def test_a_line_of_megabytes_is_split(line: str) -> None:
    """A line that would keep shlex busy for many minutes is one word in a moment."""
    assert len(split_words(line)) == 1
