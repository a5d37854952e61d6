"""What the daemon asks of its process."""

from __future__ import annotations

import resource

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.daemon.process import MIN_ADDRESS_SPACE, expect_address_space


def test_an_address_space_that_is_too_small_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before gRPC aborts the process; no limit, and one that is large enough, are well."""
    limits = {"now": (300 * 2**20, resource.RLIM_INFINITY)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    with pytest.raises(UsageError, match=r"limited to 300 MiB.*needs 512 MiB"):
        expect_address_space()
    for enough in (MIN_ADDRESS_SPACE, resource.RLIM_INFINITY):
        limits["now"] = (enough, enough)
        expect_address_space()
