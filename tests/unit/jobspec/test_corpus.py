"""The corpus of bad jobspecs through the planner: an answer each, in bounded time and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.plan import plan_text
from support.evil import Evil, corpus, large

#: Plans what comes on standard input; prints how it ended, CPU seconds and the peak in MiB.
_PLANS = """
import re, sys, time
from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.plan import plan_text
text = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
began = time.process_time()
try:
    plan_text(text)
    print("runs", end=" ")
except JobspecError:
    print("refused", end=" ")
took = time.process_time() - began
# Not getrusage(2): its peak is also that of the process that this one was forked from.
print(took, int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""
SECONDS = 5.0  # of CPU, for one job
MEBIBYTES = 256.0  # of memory, the program itself included


def answer(text: str) -> str:
    """What the planner says: "" for a plan, else why not."""
    try:
        plan = plan_text(text)
    except JobspecError as exc:
        return str(exc)
    json.dumps([task.jobspec for task in plan.tasks], ensure_ascii=False).encode()
    return ""


def test_each_of_the_corpus_is_answered() -> None:
    """A plan or one short printable sentence, as the corpus says; never another exception."""
    wrong = []
    for evil in corpus():
        said = answer(evil.text)
        bad_words = not said.isprintable() or len(said) > 2000
        if bad_words or (evil.runs is not None and evil.runs == bool(said)):
            wrong.append((evil.name, said))
    assert wrong == []


HEAVY = [e for e in corpus() if len(e.text) > 50_000 or "bomb" in e.name] + list(large())
HEAVY += [Evil("100 MiB", "version: 1\nname: " + "x" * (100 << 20))]


@pytest.mark.parametrize("evil", HEAVY, ids=lambda evil: evil.name)
def test_no_job_takes_much(evil: Evil) -> None:
    """At most 5 s of CPU and 256 MiB for one jobspec, the text itself beside."""
    data = evil.text.encode("utf-8", "surrogatepass")
    limit = 20 * 60  # of CPU time: what hangs ends
    done = subprocess.run(
        [sys.executable, "-c", _PLANS],
        input=data,
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
    )
    words = done.stdout.decode().split()
    assert len(words) == 3, done.stderr.decode()[-2000:]
    assert words[0] == ("runs" if evil.runs else "refused")
    assert float(words[1]) < SECONDS
    # The process read and decoded the text, which is two copies of it that are not the planner's.
    assert float(words[2]) < MEBIBYTES + 2 * len(data) / 2**20
