"""What to do about a job is chosen by what Flux really says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring.remedies import MESSAGES, of_message, remedy
from support.job_rows import job, task

#: Reasons as tasks get them (`type: note` of Flux's exceptions), and words of what to do. Those of
#: `exec` and `alloc` were seen of flux-core 0.88; of Fluxion and older ones as their sources have
#: them.
SAID = (
    ("exec: task 0 (host a): start failed: nosuch: No such file or directory", "`command`"),
    ("exec: task 0 (host a): start failed: ./x/y: Not a directory", "`command`"),
    ("exec: task 0 (host a): start failed: /data: Permission denied", "chmod +x"),
    ("exec: task 0 (host a): start failed: bash: Argument list too long", "as a script"),
    ("exec: task 0 (host a): start failed: a.out: Exec format error", "another machine"),
    ("exec: task 0 (host a): start failed: a: Resource temporarily unavailable", "the node had no"),
    ("exec: task 0 (host a): start failed: a: Input/output error", "could not be started"),
    ("exec: node failure on blue-1 (rank 1)", "its node went away"),
    ("exec: node failure on blue-1 (shell rank 1)", "its node went away"),
    ("exec: lost contact with job shell on blue-1 (shell rank 1)", "its node went away"),
    ("exec: job shell exec error on broker a (rank 1): error launching: No such", "exec.imp"),
    ("exec: job shell exec error on a (rank 1): Permission denied", "exec.imp"),
    ("exec: loading rc file /nosuch: No such file or directory", "shell options"),
    ("exec: shell_init: No such file or directory", "shell options"),
    ("exec: rank 0 (a) missing resources: core1", "shell options"),
    ("exec: job f2 start timeout: waiting for 1/2 nodes (rank 1)", "took too long to start"),
    ("exec: unkillable user processes for job f2", "file system hangs"),
    ("prolog: prolog failed on blue-1 (rank 1)", "administrator"),
    ("alloc: unsatisfiable request: need 10000 slot(s) of 1 core(s), only 4", "another cluster"),
    ("alloc: Unsatisfiable request", "another cluster"),
    ("tasks[0]: 9 nodes asked for; there is 1 node, with space for 1 node (1)", "satisfy"),
    ("job 1 of this cluster came first with the key 'k' (attributes.once), so", "another key"),
    ("Queue `batch` is disabled", "queue"),
    ("queue (debug) doesn't exist: unknown queue name", "queue"),
    ('alloc denied due to type="match error"', "now that the nodes are as they are"),
    ("unsupported resource type 'gpu'", "a scheduler that gives no GPUs"),
    ("requested duration exceeds policy limit of 1h", "more than the cluster allows"),
    ("job duration (2h) exceeds remaining instance lifetime (1h)", "more than the cluster allows"),
    ("timeout: resource allocation expired", "`duration`"),
    ("exec: Memory cgroup out of memory: killed 1 task on a.", "memory"),
    ("dependency: dependency after-success=f2 can never be satisfied", "did not complete"),
    ("dependency: afterok: job f2 failed or was canceled", "did not complete"),
    ("cancel: wrong input", "on request"),
    ("alloc: Unsupported resource type 'gpu'", "gives no GPUs"),
    ('alloc: alloc denied due to type="unsatisfiable"', "as they are"),
    ("cancel", "on request"),
    (
        "exec: the workload manager was restarted while the job ran; its exit status is lost",
        "how it ended",
    ),
    ("the workload manager no longer knows this task: its instance was replaced", "submit the job"),
    ("it ran in a workload manager's instance that was replaced: how far", "submit the job again"),
    ("this version of the agent plans other tasks than before", "another version"),
    ("the working folder /nosuch is not there", "`cwd`"),
    ("Operation not permitted: permission denied by the owner", "who owns it"),
    ("exit code 3", "rainbow-agent logs"),
    ("signal 11", "rainbow-agent logs"),
)


@pytest.mark.parametrize(("reason", "words"), SAID, ids=[reason[:40] for reason, _ in SAID])
def test_what_flux_says_has_its_own_advice(reason: str, words: str) -> None:
    """The particular before the general: not all that begins with `exec` is a missing program."""
    assert words in str(of_message(reason))


def test_every_entry_of_the_table_is_for_something_that_is_said() -> None:
    """An entry that another one hides would never be read."""
    chosen = {of_message(reason) for reason, _ in SAID}
    assert [each.pattern for each in MESSAGES if each.advice not in chosen] == []


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        ("exit code 137", 137, "memory"),
        ("signal 9", 137, "memory"),
        ("exit code 127", 127, "not found"),
        ("exit code 3", 3, "rainbow-agent logs 7"),
        ("exec: node failure on a (rank 1)", 137, "its node went away"),
    ],
)
def test_an_exit_code_that_shells_know_says_more(reason: str, code: int, words: str) -> None:
    """Where Flux has nothing of its own to say."""
    row = job(JobState.FAILED, task("a", TaskState.FAILED, reason=reason, exit_code=code))
    assert words in str(remedy(row))


@given(st.text(), st.sampled_from(JobState))
def test_any_reason_can_be_advised_on(reason: str, state: JobState) -> None:
    """Whatever a reason holds, braces too, it is no error; and one that is well needs nothing."""
    found = remedy(job(state, task("a", TaskState.FAILED, reason=reason), reason=reason))
    assert found is None or state.value in ("refused", "failed", "canceled", "lost")
