"""A daemon begins without malloc's caches of its threads, and jobs do not hear of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.runtime import thread_caches
from rainbow_agent.runtime.thread_caches import begin_without_thread_caches

#: Prints the bytes that malloc counts as in use for pieces that were freed, and the environment
#: that is left. mallinfo2(3): `uordblks` has what is in a thread's cache.
_PROGRAM = """
import ctypes, json, os, sys
from rainbow_agent.runtime.thread_caches import begin_without_thread_caches

if sys.argv[1:] != ["as-it-is"]:
    begin_without_thread_caches(os.environ)

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc(1000)
in_use = lambda: libc.mallinfo2().uordblks
in_use()
before = in_use()
pieces = [libc.malloc(1000) for _ in range(7)]
for piece in pieces:
    libc.free(piece)
print(json.dumps([in_use() - before, dict(os.environ)]))
"""
needs_mallinfo = pytest.mark.skipif(
    not thread_caches._is_glibc(), reason="malloc has these caches in glibc only"
)


def begun(*args: str, **environ: str) -> tuple[int, dict[str, str]]:
    """What _PROGRAM says, with this environment."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *args],
        env={**_plain(), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    kept, left = json.loads(done.stdout)
    return kept, left


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}


@needs_mallinfo
def test_what_is_freed_is_free() -> None:
    """And not kept for the thread that freed it."""
    kept, left = begun()
    assert kept < 1000
    assert {"GLIBC_TUNABLES", "RAINBOW_BEGAN_AGAIN"}.isdisjoint(left)
    kept, _ = begun("as-it-is")
    assert kept >= 7000, "this test would see the caches"


@needs_mallinfo
def test_the_operators_tunables_stand() -> None:
    """As they are, for jobs too."""
    _, left = begun(GLIBC_TUNABLES="glibc.malloc.perturb=1")
    assert left["GLIBC_TUNABLES"] == "glibc.malloc.perturb=1"


def executed(environ: dict[str, str], fail: bool = False) -> list[tuple[Any, ...]]:
    """The calls of execve that this environment leads to."""
    calls = list[tuple[Any, ...]]()

    def execute(*args: Any) -> None:
        calls.append(args)
        if fail:
            raise OSError(12, os.strerror(12))

    begin_without_thread_caches(environ, execute)
    return calls


@needs_mallinfo
def test_it_begins_once_more_with_the_same_words() -> None:
    """Interpreter's options and all."""
    ((program, words, environ),) = executed({"A": "b"})
    assert program == words[0] == sys.executable
    assert words[1:] == sys.orig_argv[1:]
    assert environ.pop("GLIBC_TUNABLES") == "glibc.malloc.tcache_count=0"
    again = environ | {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    assert executed(again) == [], "never a third time"
    assert again == {"A": "b"}


@needs_mallinfo
def test_never_a_third_time_where_ld_so_takes_the_tunables_out() -> None:
    """As it does for a program with capabilities."""
    ((_, _, environ),) = executed({})
    del environ["GLIBC_TUNABLES"]
    assert executed(environ) == []
    assert environ == {}


@needs_mallinfo
def test_where_it_cannot_begin_again_it_goes_on() -> None:
    """No memory for another program, perhaps."""
    assert len(executed({}, fail=True)) == 1


@pytest.mark.parametrize("without", [AttributeError, ValueError, OSError])
def test_elsewhere_than_on_glibc_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, without: type[Exception]
) -> None:
    """Musl has no such caches, and macOS no such name."""

    def confstr(_: str) -> str:
        raise without

    monkeypatch.setattr(os, "confstr", confstr)
    assert executed({}) == []


def test_without_a_name_of_the_interpreter_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which an interpreter in another program may lack."""
    monkeypatch.setattr(sys, "executable", "")
    assert executed({}) == []


def imports(verb: str, **environ: str) -> Counter[str]:
    """How often the installed program imports each module before it shows a verb's help."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("rainbow-agent")), verb, "--help"],
        env={**_plain(), "PYTHONPROFILEIMPORTTIME": "1", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return Counter(line.rpartition("|")[2].strip() for line in done.stderr.splitlines())


@needs_mallinfo
def test_the_daemon_begins_twice_and_no_other_verb() -> None:
    """Before it imports anything that takes time."""
    found = imports("start")
    assert (found["rainbow_agent.runtime.thread_caches"], found["click"]) == (2, 1)
    assert imports("status")["rainbow_agent.runtime.thread_caches"] == 1
    own = imports("start", GLIBC_TUNABLES="glibc.malloc.perturb=1")
    assert own["rainbow_agent.runtime.thread_caches"] == 1
