"""What the daemon asks of its process."""

from __future__ import annotations

import resource

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.daemon.process import (
    MIN_ADDRESS_SPACE,
    MIN_FILE_SIZE,
    MIN_OPEN_FILES,
    expect_limits,
)


@pytest.mark.parametrize(
    ("which", "low", "words", "enough"),
    [
        (
            resource.RLIMIT_AS,
            300 * 2**20,
            r"limited to 300 MiB .*ulimit -v.*512 MiB",
            MIN_ADDRESS_SPACE,
        ),
        (resource.RLIMIT_NOFILE, 32, r"may have 32 open files .*ulimit -n.*64", MIN_OPEN_FILES),
        (
            resource.RLIMIT_FSIZE,
            200 * 2**10,
            r"limited to 200 KiB .*ulimit -f.*64 MiB",
            MIN_FILE_SIZE,
        ),
    ],
    ids=["address-space", "open-files", "file-size"],
)
def test_a_limit_that_is_too_low_is_said(
    monkeypatch: pytest.MonkeyPatch, which: int, low: int, words: str, enough: int
) -> None:
    """Before anything fails in the middle; no limit, and one that is high enough, are well."""
    limits = {which: low}
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(
        resource, "getrlimit", lambda each: (limits.get(each, unlimited), unlimited)
    )
    with pytest.raises(UsageError, match=words):
        expect_limits()
    for each in (enough, unlimited):
        limits[which] = each
        expect_limits()
