"""The small readers of /proc and /sys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import text


@given(st.sets(st.integers(0, 500)))
def test_cpu_lists_read_back(cpus: set[int]) -> None:
    """Any set of CPUs survives being written in the kernel's list format."""
    assert text.cpu_list(text.format_cpus(cpus)) == tuple(sorted(cpus))


@pytest.mark.parametrize(
    ("written", "cpus"),
    [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("", ()), (None, ()), ("x,3,-,1-y", (3,))],
)
def test_cpu_list_keeps_what_it_can_read(written: str | None, cpus: tuple[int, ...]) -> None:
    """One odd entry does not cost the others."""
    assert text.cpu_list(written) == cpus


@pytest.mark.parametrize(
    ("written", "expected"),
    [("24682416 kB", 24682416 << 10), ("512K", 512 << 10), ("2048kB", 2 << 20), ("7", 7)],
)
def test_sizes_are_bytes(written: str, expected: int) -> None:
    """The kernel's kB and K are 1,024 bytes."""
    assert text.size(written) == expected


@pytest.mark.parametrize("written", ["", None, "lots", "-1 kB", "5 parsecs"])
def test_what_is_no_size_is_none(written: str | None) -> None:
    """What cannot be read as a size is not known rather than wrong."""
    assert text.size(written) is None


@pytest.mark.parametrize(
    ("written", "expected"), [("12", 12), ("0x8086", 0x8086), ("007", 7), ("max", None), ("", None)]
)
def test_integers(written: str, expected: int | None) -> None:
    """Decimal, hexadecimal and padded numbers are read; words are None."""
    assert text.integer(written) == expected


_WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(st.dictionaries(_WORDS.filter(lambda key: "=" not in key), _WORDS))
def test_tokens_read_back(fields: dict[str, str]) -> None:
    """A table entry survives being written as one string."""
    assert text.untokens(text.tokens(fields)) == fields


def test_natural_order_counts() -> None:
    """cpu10 comes after cpu2, and odd names do not mix up the order."""
    assert sorted(["cpu10", "cpu2", "cpu", "0000:3b"], key=text.natural) == [
        "0000:3b",
        "cpu",
        "cpu2",
        "cpu10",
    ]
