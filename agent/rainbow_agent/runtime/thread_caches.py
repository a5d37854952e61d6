"""malloc without a cache of small free pieces for each thread, of which the daemon has some twenty.

They fill up as jobs come and are never given back, which made the daemon grow by a MiB and more.
glibc reads its tunables once, when a process begins (GNU C Library manual, "Memory Allocation
Tunables"), so the process begins once more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

_TUNABLES: Final = "GLIBC_TUNABLES"
_WITHOUT: Final = "glibc.malloc.tcache_count=0"
#: Says to the process that begins once more that it did. GLIBC_TUNABLES is not there to say it
#: where the interpreter has capabilities of its own, as ld.so takes it out then (ld.so(8)).
_AGAIN: Final = "RAINBOW_BEGAN_AGAIN"


def begin_without_thread_caches(
    environ: MutableMapping[str, str], execute: Callable[..., Any] = os.execve
) -> None:
    """Become the same program again, without these caches; return where that is done, or cannot be.

    To be called before anything else happens: whatever was done is done again. The operator's own
    GLIBC_TUNABLES stand, without another beginning. What is in the environment afterwards is what
    the operator put there.

    Args:
        environ: this process's environment.
        execute: execve(2).
    """
    if environ.pop(_AGAIN, None):
        environ.pop(_TUNABLES, None)
        return
    if _TUNABLES in environ or not (sys.executable and _is_glibc()):
        return
    changed = {**environ, _TUNABLES: _WITHOUT, _AGAIN: "1"}
    with suppress(OSError):  # it works with the caches, too
        execute(sys.executable, [sys.executable, *sys.orig_argv[1:]], changed)


def _is_glibc() -> bool:
    try:
        return "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (AttributeError, OSError, ValueError):
        return False
