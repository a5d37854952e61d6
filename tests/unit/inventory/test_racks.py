"""The site's file of racks: hosts by name or by a range of numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.inventory.racks import read_racks


def test_hosts_are_named_one_by_one_or_in_ranges(tmp_path: Path) -> None:
    """Numbers are those of hostlists: padded where the range is; what is nowhere has no rack."""
    file = tmp_path / "racks.yaml"
    file.write_text("a: [blue-0, 'blue-[1-9,20]']\nb: 'n[08-11].example'\nc: [blue-5]\n")
    rack_of = read_racks(file)
    racks = {"blue-0": "a", "blue-1": "a", "blue-20": "a", "n08.example": "b", "n11.example": "b"}
    assert {host: rack_of(host) for host in racks} == racks
    assert rack_of("blue-5") == "c"  # a name says more than a range
    others = ("blue-10", "blue-01", "blue-", "blue-x", "n8.example", "n12.example", "n08", "", "x")
    assert {rack_of(host) for host in others} == {""}


def test_without_a_file_no_rack_is_known() -> None:
    """Most sites have none."""
    assert read_racks(None)("blue-0") == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "write racks with their hosts"),
        ("a: [", "are not YAML"),
        ("a b: [x]", "'a b' is not a rack's name"),
        ("a: [1]", "1 is not a host"),
        ("a: ['x[1-]']", "is not a host"),
        ("a: ['x[1-2]y[3-4]']", "is not a host"),
        ("a: ['']", "is not a host"),
        ("a:", "None is not a host"),
    ],
)
def test_another_file_is_named(tmp_path: Path, text: str, problem: str) -> None:
    """With what is wrong in it."""
    file = tmp_path / "racks.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=problem) as caught:
        read_racks(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the setting."""
    with pytest.raises(UsageError, match=r"gone.yaml: cannot read the racks \(RAINBOW_RACKS\)"):
        read_racks(tmp_path / "gone.yaml")
