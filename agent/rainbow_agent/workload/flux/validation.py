"""Which job requests Flux has to check, and which are copies of one that it has checked.

job-ingest hands every jobspec to a validator, a Python program, which is a third of what a job
costs Flux on its way in. The instance owner may ask for none (FLUX_JOB_NOVALIDATE, flux-core
src/common/libjob/job.h). Flux's own validator looks at the form of a jobspec only
(flux/job/validator/plugins/jobspec.py): what it said of one holds for all that differ in nothing
but words (docs/decisions/0050). Where the operator configured validation (flux-config-ingest(5)),
every job goes through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from rainbow_agent.core.workload_values import Submission

#: Seconds after which Flux is asked again how it is configured, and forms are checked anew.
CACHE_S = 30.0
#: Forms that are remembered at most.
MOST_FORMS = 1000


class Validation:
    """What Flux has checked. For one connection to one instance.

    Args:
        configured: asks Flux whether the operator configured validation; it may raise what
            asking raises.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, configured: Callable[[], bool], now: Callable[[], float]) -> None:
        self._configured = configured
        self._now = now
        self._asked = float("-inf")
        self._every_job = True
        self._passed: set[bytes] = set()
        self._environment: Any = None
        self._variables = _words(None)

    def refresh(self) -> None:
        """Ask again, if it is time to."""
        if self._now() - self._asked >= CACHE_S:
            self._every_job = self._configured()
            self._passed.clear()
            self._asked = self._now()

    def form(self, submission: Submission) -> bytes | None:
        """What the submission has in common with its copies; None: Flux is to look at every one."""
        if self._every_job:
            return None
        environment = submission.jobspec["attributes"]["system"].get("environment")
        if environment is not self._environment:  # nearly all share the host's
            self._environment, self._variables = environment, _words(environment)
        return form(submission, self._variables)

    def needed(self, of: bytes | None) -> bool:
        """Whether a submission of this form has to be checked."""
        return of is None or of not in self._passed

    def passed(self, of: bytes | None) -> None:
        """Flux took a submission of this form, checked or as a copy."""
        if of is not None and len(self._passed) < MOST_FORMS:
            self._passed.add(of)


def form(submission: Submission, variables: str) -> bytes:
    """A digest of all that Flux's validator looks at.

    That leaves out the words of commands, the environment's variables, what is ours under
    `attributes.user`, and which jobs are waited for (not how many).

    Args:
        submission: a complete one.
        variables: what stands for its environment.
    """
    jobspec = submission.jobspec
    attributes: Mapping[str, Any] = jobspec["attributes"]
    seen = (
        [(name, value) for name, value in jobspec.items() if name not in ("attributes", "tasks")],
        [_task(task) for task in jobspec.get("tasks", ())],
        [(name, value) for name, value in attributes.items() if name not in ("system", "user")],
        [(n, variables if n == "environment" else v) for n, v in attributes["system"].items()],
        len(submission.afterok),
    )
    return hashlib.blake2b(repr(seen).encode(errors="surrogatepass"), digest_size=16).digest()


def _task(task: Any) -> Any:
    if not isinstance(task, Mapping):
        return task
    return [(name, _words(v) if name == "command" else v) for name, v in task.items()]


def _words(value: Any) -> str:
    """Words stand for each other, where they are words; how many there are makes no difference."""
    if isinstance(value, Mapping):
        whole = all(type(k) is str and type(v) is str for k, v in value.items())
        return "variables" if whole else repr(value)
    if isinstance(value, list) and value:
        return "words" if all(type(word) is str for word in value) else repr(value)
    return repr(value)


def configured(config: Mapping[str, Any]) -> bool:
    """Whether there is a word about validators in a Flux configuration (`config.get`)."""
    ingest = config.get("ingest")
    return isinstance(ingest, Mapping) and "validator" in ingest
