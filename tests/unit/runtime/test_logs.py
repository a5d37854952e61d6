"""Logging: one line a record, for people or machines, and never a secret in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.runtime.logs import JsonFormatter, Redact, TextFormatter, clean, set_up, when


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("rainbow_agent.x", logging.WARNING, __file__, 1, message, args, None)
    made.created = 1715940000.25
    vars(made).update(extra)
    return made


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    grpc = logging.getLogger("grpc")
    before = (logger.handlers[:], logger.level, grpc.level)
    yield logger
    logger.handlers[:] = before[0]
    logger.setLevel(before[1])
    grpc.setLevel(before[2])


def test_json_line_holds_sentence_and_fields() -> None:
    """A program finds time, level, logger, message and every extra field in one object."""
    line = JsonFormatter().format(record("Accepted %d jobs", 3, action="accepted", jobs=3))
    assert json.loads(line) == {
        "time": "2024-05-17T10:00:00.250Z",
        "level": "warning",
        "logger": "rainbow_agent.x",
        "message": "Accepted 3 jobs",
        "action": "accepted",
        "jobs": 3,
    }


def test_text_line_is_for_people() -> None:
    """Time, level, sentence, then the fields."""
    line = TextFormatter().format(record("Accepted %d jobs", 3, action="accepted"))
    assert line == "2024-05-17T10:00:00.250Z warning Accepted 3 jobs  action=accepted"


def test_text_without_fields_has_no_trailing_space() -> None:
    """A plain sentence stays plain."""
    assert TextFormatter().format(record("Stopping")).endswith(" warning Stopping")


@given(message=st.text(), value=st.text())
def test_no_control_character_reaches_the_terminal(message: str, value: str) -> None:
    """What a user wrote into a job's name cannot steer a terminal or forge a line."""
    made = record("%s", message, job=value)
    for line in (TextFormatter().format(made), JsonFormatter().format(made)):
        assert line.isprintable()


@given(message=st.text(), value=st.text())
def test_json_loses_nothing(message: str, value: str) -> None:
    """Whatever was logged comes back from the JSON line as it was."""
    entry = json.loads(JsonFormatter().format(record("%s", message, job=value)))
    assert (entry["message"], entry["job"]) == (message, value)


def test_values_that_json_does_not_know_become_text() -> None:
    """A path or an exception among the fields does not lose the line."""
    entry = json.loads(JsonFormatter().format(record("x", error=ValueError("broken"))))
    assert entry["error"] == "broken"


@given(st.text())
def test_clean_leaves_printable_text_alone(text: str) -> None:
    """Printable text, in any script, is shown as it is; other characters are escaped."""
    assert clean(text).isprintable()
    if text.isprintable():
        assert clean(text) == text


def failing(message: str, secret: str) -> logging.LogRecord:
    made = record(message)
    error = RuntimeError(f"denied with {secret}")
    made.exc_info = (RuntimeError, error, None)
    return made


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_traceback_is_kept(formatter: logging.Formatter) -> None:
    """A bug shows where it is."""
    assert "RuntimeError: denied with care" in formatter.format(failing("died", "care"))


@given(st.text())
def test_traceback_cannot_steer_the_terminal(message: str) -> None:
    """An error quotes what a user wrote; its text is escaped like the sentence, line by line."""
    text = TextFormatter().format(failing("died", message))
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(JsonFormatter().format(failing("died", message)))["exception"]


def redacted(made: logging.LogRecord, *secrets: str) -> str:
    """What both formatters make of a record after redaction."""
    redact = Redact()
    redact.add(secrets)
    assert redact.filter(made), "a record is never dropped"
    return TextFormatter().format(made) + JsonFormatter().format(made)


def test_secret_in_the_message_is_hidden() -> None:
    """Also where the message was put together beforehand."""
    shown = redacted(record("the secret is hush-hush, really"), "hush-hush")
    assert "hush-hush" not in shown
    assert "the secret is [secret], really" in shown


def test_secret_in_an_argument_is_hidden() -> None:
    """Arguments are part of the sentence."""
    assert "hush-hush" not in redacted(
        record("got %s and %r", "hush-hush", "hush-hush"), "hush-hush"
    )


def test_secret_in_a_field_is_hidden() -> None:
    """Fields for machines are read by people, too."""
    shown = redacted(record("x", answer="denied: hush-hush"), "hush-hush")
    assert "hush-hush" not in shown
    assert "denied: [secret]" in shown


@pytest.mark.parametrize(
    "value",
    [{"answer": "hush-hush"}, ["hush-hush"], ("a", {"b": ["hush-hush"]}), ValueError("hush-hush")],
)
def test_secret_inside_a_field_is_hidden(value: object) -> None:
    """A secret hides in lists, mappings and errors as well."""
    assert "hush-hush" not in redacted(record("x", answer=value), "hush-hush")


def test_secret_in_a_traceback_is_hidden() -> None:
    """The text of an exception often quotes what it was called with."""
    shown = redacted(failing("the reporter thread died", "hush-hush"), "hush-hush")
    assert "hush-hush" not in shown
    assert "RuntimeError" in shown


def test_a_secret_that_is_part_of_another_leaves_nothing_of_it() -> None:
    """The longer secret is hidden whole, whichever was added first."""
    for secrets in (("hush", "hush-hush-hush-puppy"), ("hush-hush-hush-puppy", "hush")):
        assert "puppy" not in redacted(record("it is hush-hush-hush-puppy"), *secrets)


def test_fields_that_hold_no_secret_keep_their_type() -> None:
    """Redaction does not turn numbers into text."""
    made = record("x", jobs=3, ok=True)
    redact = Redact()
    redact.add({"hush-hush"})
    redact.filter(made)
    entry = json.loads(JsonFormatter().format(made))
    assert (entry["jobs"], entry["ok"]) == (3, True)


def test_very_short_secrets_do_not_blank_the_prose() -> None:
    """A secret of one letter would hide every word; it is left alone."""
    assert "a sentence" in redacted(record("a sentence"), "e")


def test_a_secret_that_is_a_word_is_hidden_by_its_place() -> None:
    """Rainbow's default token is `rainbow`: no line loses its words, no field shows a token."""
    made = record("Registered %s with rainbow, token %s", "blue", "rainbow", token="rainbow")
    shown = redacted(made, "rainbow")
    assert "Registered blue with rainbow, token [secret]" in shown
    assert '"token": "[secret]"' in shown
    whole = redacted(record("rainbow at %s does not answer", "rainbow.org:8080"), "rainbow")
    assert "rainbow at rainbow.org:8080 does not answer" in whole


def test_set_up_chooses_json_where_nobody_looks(root: logging.Logger) -> None:
    """`auto` is JSON in a file or pipe, and the level applies."""
    stream = io.StringIO()
    set_up("info", "auto", stream)
    logging.getLogger("rainbow_agent.test").info("Hello")
    logging.getLogger("rainbow_agent.test").debug("not this")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "Hello"
    assert root.level == logging.INFO


def test_set_up_chooses_text_on_a_terminal(root: logging.Logger) -> None:
    """`auto` is text for people where a person looks."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    set_up("debug", "auto", stream)
    logging.getLogger("rainbow_agent.test").debug("Hello")
    assert stream.getvalue().rstrip().endswith("debug   Hello")
    assert root.level == logging.DEBUG


@pytest.mark.parametrize(("form", "is_json"), [("text", False), ("json", True)])
def test_a_format_that_was_asked_for_is_used(
    root: logging.Logger, form: str, *, is_json: bool
) -> None:
    """Whatever the stream is."""
    stream = io.StringIO()
    set_up("info", form, stream)
    logging.getLogger("rainbow_agent.test").info("Hello")
    assert stream.getvalue().startswith("{") is is_json
    assert len(root.handlers) == 1


def test_set_up_twice_logs_once(root: logging.Logger) -> None:
    """Setting up again replaces what was there."""
    first, second = io.StringIO(), io.StringIO()
    set_up("info", "text", first)
    set_up("info", "text", second)
    logging.getLogger("rainbow_agent.test").info("Hello")
    assert (first.getvalue(), len(second.getvalue().splitlines())) == ("", 1)
    assert len(root.handlers) == 1


def test_secrets_that_become_known_later_are_hidden(root: logging.Logger) -> None:
    """The cluster's secret is learned after logging was set up, by any logger."""
    stream = io.StringIO()
    redact = set_up("info", "json", stream)
    redact.add({"cluster-secret"})
    logging.getLogger("somebody.else").info("got cluster-secret", extra={"x": "cluster-secret"})
    assert root.handlers
    assert "cluster-secret" not in stream.getvalue()


def test_when_is_rfc_3339_with_milliseconds() -> None:
    """Times are UTC, to the millisecond, never rounded up into the future."""
    assert when(1715940000.9996) == "2024-05-17T10:00:00.999Z"
