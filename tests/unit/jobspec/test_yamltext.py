"""YAML text to nodes: positions, text as written, limits."""

from __future__ import annotations

import base64

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec import composer, yamltext
from rainbow_agent.jobspec.composer import ListNode, MapNode, Node, ScalarNode
from rainbow_agent.jobspec.yamltext import compose


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with libyaml's parser and with the one that is there without it."""
    if request.param == "python":
        monkeypatch.setattr(yamltext, "_Loader", yaml.SafeLoader)


def texts(node: Node) -> object:
    """A node as plain lists, dicts and texts."""
    if isinstance(node, ScalarNode):
        return node.text
    if isinstance(node, ListNode):
        return [texts(item) for item in node.items]
    return {name: texts(value) for name, (_, value) in node.entries.items()}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[yes, no, on, True, ~, null, 1.0, 0o17, 0x1f, 1:30, 2024-05-11]", None),
        ("{a: 'yes', b: [c, {d: e}]}", {"a": "yes", "b": ["c", {"d": "e"}]}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("a: &x {b: c}\nd: *x\n", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ("a: !!binary c2F5ICJoaSI=", {"a": 'say "hi"'}),
        ('{"a": [1, "\\u00fc"]}', {"a": ["1", "ü"]}),
    ],
)
def test_scalars_keep_the_text_as_written(written: str, read: object) -> None:
    """Nothing is turned into a bool, a number, a date or nothing."""
    expected = read if read is not None else written.strip("[]").split(", ")
    assert texts(compose(written)) == expected


def test_a_scalar_knows_its_place_and_whether_it_was_quoted() -> None:
    """Lines and columns count from 1; quotes are what tells the word true from the value."""
    node = compose("a:\n  b: 'true'\n")
    assert isinstance(node, MapNode)
    inner = node.entries["a"][1]
    assert isinstance(inner, MapNode)
    key, value = inner.entries["b"]
    assert (key.line, key.column, key.plain) == (2, 3, True)
    assert value == ScalarNode("true", plain=False, line=2, column=6)


@pytest.mark.parametrize(
    ("written", "null"), [("a:", True), ("a: ~", True), ("a: null", True), ("a: 'null'", False)]
)
def test_nothing_is_told_from_the_word_null(written: str, null: bool) -> None:
    """Empty, ~ and null without quotes stand for nothing."""
    node = compose(written)
    assert isinstance(node, MapNode)
    value = node.entries["a"][1]
    assert isinstance(value, ScalarNode)
    assert value.is_null is null


def test_merge_keys_fill_what_is_not_written() -> None:
    """`<<` takes entries of other mappings, earlier ones first, and never replaces one."""
    node = compose("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}\n")
    read = texts(node)
    assert isinstance(read, dict)
    assert read["z"] == {"a": "3", "b": "1", "c": "2"}


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("", "the jobspec is empty"),
        ("# only a comment\n", "the jobspec is empty"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: a second document"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' is there already, on line 1"),
        ("a: [1, 2", ": not YAML: while parsing a flow sequence"),
        ("a: *b", "the alias '*b' names no anchor above it"),
        ("a: &a [*a]", "line 1, column 8: the alias '*a' stands inside what it names"),
        ("{a: b}: c", "line 1, column 1: a key must be a word"),
        ("<<: 1", "`<<` merges mappings"),
        ("a: !!python/object:os.system {}", "the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: !mine b", "the tag '!mine' is not known"),
        ("a: !!omap [b]", "the tag 'tag:yaml.org,2002:omap' is not known"),
        ("a: !!binary '%%%'", "line 1, column 4: a !!binary value holds no base64"),
        ("a: !!binary /w==", "line 1, column 4: a !!binary value holds no base64"),
        ('a: "\\0"', "line 1, column 4: a NUL character"),
        ("a: \x07", "the jobspec is not text: "),
        ("a: \ud800", "the jobspec is not text: "),
        ("[" * 65, "nested deeper than 64 levels"),
        ("[" * 100_000, "nested deeper than 64 levels"),
        ("%YAML 9.9\n---\na", "line 1"),
    ],
)
def test_what_is_refused(written: str, error: str) -> None:
    """What is no single plain YAML document is an error that says where and why."""
    with pytest.raises(JobspecError) as caught:
        compose(written)
    assert error in str(caught.value)


def test_sixty_four_levels_are_read() -> None:
    """The limit of nesting is what is still read."""
    assert compose("[" * 64 + "]" * 64)


def test_an_escaped_surrogate_is_refused() -> None:
    """Half of a surrogate pair cannot be sent on to anybody."""
    with pytest.raises(JobspecError):
        compose('a: "\\ud800"')


def test_aliases_count_as_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine lines that would become a billion values are refused in a moment."""
    monkeypatch.setattr(composer, "MAX_NODES", 1000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(JobspecError, match=r"line 3, column .*: more than 1,000 values"):
        compose("\n".join(lines))


def test_aliases_deepen_what_they_stand_in() -> None:
    """A tower of aliases is as deep as it would be written out."""
    lines = ["- &a0 [x]"] + [f"- &a{i} [*a{i - 1}]" for i in range(1, 100)]
    with pytest.raises(JobspecError, match="nested deeper than 64 levels"):
        compose("\n".join(lines))


def test_long_text_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text beyond the limit is not parsed at all."""
    monkeypatch.setattr(yamltext, "MAX_TEXT", 10)
    with pytest.raises(JobspecError, match="longer than 10 characters"):
        compose("a" * 11)


def test_errors_show_no_control_characters() -> None:
    """What a terminal would obey is escaped, and long text is cut."""
    with pytest.raises(JobspecError) as caught:
        compose(
            '{"\\e]0;x\\a\\u202e' + "k" * 500 + '": 1, "\\e]0;x\\a\\u202e' + "k" * 500 + '": 2}'
        )
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_binary_gives_the_text_back(text: str) -> None:
    """Any text comes through rainbow as !!binary and is text again."""
    encoded = base64.b64encode(text.encode()).decode()
    assert texts(compose(f"a: !!binary '{encoded}'")) == {"a": text}
