"""What Flux takes from the owner of an instance, in the form that it reads."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.workload.flux.signature import unsigned


def test_the_form_is_that_of_libflux_core() -> None:
    """As flux_job_submit() of 0.88 itself wrote it for user 1000."""
    assert unsigned(b'{"version": 1}', 1000) == (
        b"dmVyc2lvbgBpMQB1c2VyaWQAaTEwMDAAbWVjaGFuaXNtAHNub25lAA==.eyJ2ZXJzaW9uIjogMX0=.none"
    )


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_the_jobspec_is_what_was_given(jobspec: bytes, uid: int) -> None:
    """Whatever is in it; the header names the owner."""
    header, payload, signature = unsigned(jobspec, uid).split(b".")
    assert base64.b64decode(payload) == jobspec
    words = base64.b64decode(header).split(b"\0")
    assert dict(zip(words[::2], words[1::2], strict=False))[b"userid"] == b"i%d" % uid
    assert signature == b"none"
