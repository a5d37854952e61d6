"""Jobspecs without a double quote, and back; names that the server can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError, Rejected, UsageError
from rainbow_agent.jobspec import wire

#: Characters that YAML, SQL or a shell treats as special are as likely as all others together.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    st.sampled_from("\"'\\\0\n\r\t :#-?[]{},&*!|>%@`=<~ \x85\u2028\ufeffa1.e+y"), max_size=12
)
SCALARS = TEXT | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
DOCUMENTS = st.dictionaries(TEXT, VALUES, max_size=3)
#: No deadline an example: the machine may be busy, and nothing here is about time.
relaxed = settings(deadline=None)


@relaxed
@given(DOCUMENTS)
@example({"a": "x\n  \ny\n", "b": ["\n", "\t\n", " x\ny", "x \n\n\n"], "multi\nline key": {}})
def test_no_document_needs_a_double_quote(document: dict[str, Any]) -> None:
    """Any JSON-like document is written without `"` and NUL, and reads back equal."""
    text = wire.to_wire(document)
    assert '"' not in text
    assert "\0" not in text
    wire.check_text(text)
    assert wire.from_wire(text) == document


@relaxed
@given(DOCUMENTS)
def test_other_readers_see_the_same_structure(document: dict[str, Any]) -> None:
    """A plain safe loader reads the same, but for strings that only base64 could hold: bytes."""

    def text_of(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, dict):
            return {text_of(key): text_of(inner) for key, inner in value.items()}
        return [text_of(inner) for inner in value] if isinstance(value, list) else value

    assert text_of(yaml.safe_load(wire.to_wire(document))) == document


@pytest.mark.parametrize(
    "text",
    [
        "spack install ior",
        "it's",
        "300s",
        "#!/bin/bash\nset -e\n\tif true; then  \n\n    echo $x\n\tfi\n",
        "a\tb",
        "ünïcödé \N{GRINNING FACE}",
        "k: v # x",
        "",
    ],
)
def test_what_people_write_stays_readable(text: str) -> None:
    """Ordinary strings and scripts are not turned into base64."""
    assert "!!binary" not in wire.to_wire({"command": [text]})


@pytest.mark.parametrize(
    "text", ['say "hi"', "nul\0", "cr\r", "\x1b[0m", "\u2028", "\ufeff", " \n"]
)
def test_what_yaml_cannot_hold_unquoted_is_base64(text: str) -> None:
    """A string that would need double quotes is sent as `!!binary`."""
    assert "!!binary" in wire.to_wire({"command": [text]})


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "1_000", "y", "N", "2024-01-01", "1:30", ".5", "-"]
)
def test_strings_that_look_like_something_else_are_quoted(text: str) -> None:
    """YAML 1.1 and 1.2 readers both take them as the strings that they are."""
    assert wire.to_wire({"a": text}) == f"a: '{text}'\n"


def test_order_and_repetition_are_kept() -> None:
    """Keys stay in their order, and a value that is there twice is written twice."""
    shared = ["x"]
    assert wire.to_wire({"z": shared, "a": shared}) == "z:\n- x\na:\n- x\n"


def test_values_that_are_not_json_are_refused() -> None:
    """An object that YAML cannot write plainly, and bytes that are no text, are errors."""
    for value in (object(), {1, 2}.__iter__(), "\udcff"):
        with pytest.raises(JobspecError):
            wire.to_wire({"a": value})


@pytest.mark.parametrize("text", ["a: [", "a: !!python/object:os.system x", "a: !!binary '%'"])
def test_text_that_is_no_jobspec_is_refused(text: str) -> None:
    """Broken YAML, objects and broken base64 are errors of ours."""
    with pytest.raises(JobspecError):
        wire.from_wire(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_binary_is_decoded(text: str) -> None:
    """`decode_binary` is the inverse of what `to_wire` writes, with or without line breaks."""
    node = yaml.compose(wire.to_wire({"a": text + '"'}))
    assert isinstance(node, yaml.MappingNode)
    value = node.value[0][1]
    assert value.tag == wire.BINARY_TAG
    assert wire.decode_binary(value.value) == text + '"'
    assert wire.decode_binary("\n ".join(value.value)) == text + '"'


@pytest.mark.parametrize("value", ["%", "YQ", "/w=="])
def test_binary_that_is_no_text_is_refused(value: str) -> None:
    """Broken base64, and bytes that are not UTF-8."""
    with pytest.raises(JobspecError):
        wire.decode_binary(value)


@given(st.text())
def test_any_job_name_can_be_sent(name: str) -> None:
    """What is left has no quotes and nothing that protobuf or SQL would choke on."""
    sent = wire.job_name(name)
    assert '"' not in sent
    assert sent.isprintable()
    assert len(sent) == len(name)
    sent.encode()


def test_an_ordinary_job_name_is_sent_as_it_is() -> None:
    """Only what cannot be sent is changed."""
    assert wire.job_name("ior: it's größer") == "ior: it's größer"
    assert wire.job_name('say "hi"\n') == "say 'hi' "


@pytest.mark.parametrize("name", ["blue", "a", "flux-sample", "0x", "a" * 63])
def test_labels_are_cluster_names(name: str) -> None:
    """A DNS-1123 label is fine."""
    wire.check_cluster_name(name)


@pytest.mark.parametrize(
    "name", ["", "Blue", "a_b", "a.b", "-a", "a-", "a" * 64, 'x" --', "blue\n", "token", "rowid"]
)
def test_other_cluster_names_are_refused(name: str) -> None:
    """What is no label, or a column of the server's table."""
    with pytest.raises(UsageError, match="cluster name"):
        wire.check_cluster_name(name)


def test_text_for_the_server_is_checked() -> None:
    """A quote or a NUL in ready-made text is refused with the cure."""
    wire.check_text("version: 1\n")
    for text in ('a: "b"', "a\0"):
        with pytest.raises(Rejected, match="to_wire"):
            wire.check_text(text)


def test_resources_without_labels_get_their_names() -> None:
    """The server keeps resources by label: without, it would check only one of these two."""
    jobspec = {"resources": {"a": {"type": "node"}, "b": {"type": "node", "label": "own"}}}
    sent = json.loads(wire.satisfy_payload(jobspec))["resources"]
    assert {name: resource["label"] for name, resource in sent.items()} == {"a": "a", "b": "own"}


def test_a_jobspec_without_resources_has_a_payload() -> None:
    """No resources match everywhere; resources of a wrong shape are for the server to refuse."""
    assert json.loads(wire.satisfy_payload({})) == {"version": 1}
    assert json.loads(wire.satisfy_payload({"resources": [1]}))["resources"] == [1]
