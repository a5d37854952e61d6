"""The form in which Flux takes a jobspec from the owner of an instance: without a signature.

A job of the instance's owner needs no signature, and libflux-core uses the mechanism `none` for it
whatever is configured. Its function for that, where it is built without flux-security, keeps the
text of every job for as long as the process runs (flux_job_submit() in 0.63 and 0.88 alike): 29 MB
in 10,000 jobs. So it is given the text ready made, with FLUX_JOB_PRE_SIGNED.
"""

from __future__ import annotations

import base64


def unsigned(jobspec: bytes, uid: int) -> bytes:
    """A jobspec as HEADER.PAYLOAD.SIGNATURE, the signature being `none`.

    The header is pairs of names and typed values, each ended by a zero byte (flux-core
    src/common/libjob/sign_none.c).

    Args:
        jobspec: RFC 14, as JSON.
        uid: of the owner, who submits it.
    """
    words = ("version", "i1", "userid", f"i{uid}", "mechanism", "snone")
    header = "".join(f"{word}\0" for word in words).encode()
    return b".".join((base64.b64encode(header), base64.b64encode(jobspec), b"none"))
