"""The environment that jobs get: the operator's, without what is the agent's own."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, MutableSequence
from fnmatch import fnmatchcase

#: Never handed on. The first are the agent's settings; then what belongs to one instance or
#: one job of Flux (its broker clears the same from the programs that it starts, flux-core
#: src/broker/runat.c, and from its own environment); then what a supervisor tells one process
#: (sd_notify(3), sd_listen_fds(3), systemd.exec(5)).
_NOT_FOR_JOBS = (
    "RAINBOW_*",
    "FLUX_URI",
    "FLUX_KVS_NAMESPACE",
    "FLUX_PROXY_REMOTE",
    "FLUX_START_URI",
    "FLUX_JOB_*",
    "FLUX_ENCLOSING_ID",
    "FLUX_TASK_RANK",
    "FLUX_TASK_LOCAL_ID",
    "FLUX_PMI_LIBRARY_PATH",
    "FLUX_PYTHONPATH_ORIG",
    "I_MPI_PMI_LIBRARY",
    "PMI_*",
    "PMIX_*",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "CREDENTIALS_DIRECTORY",
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "MAINPID",
    "MEMORY_PRESSURE_*",
    "FDSTORE",
    "TRIGGER_*",
    *(f"{kind}_DIRECTORY" for kind in ("STATE", "RUNTIME", "CACHE", "LOGS", "CONFIGURATION")),
)
#: Secrets shorter than this also turn up in innocent values ("1", "yes"): only whole values
#: count for them, while longer ones are looked for anywhere in a value.
_SHORTEST_TELLING_SECRET = 8


def job_environment(
    environ: Mapping[str, str], secrets: Collection[str] = (), *, venv: str | None = None
) -> dict[str, str]:
    """The host's environment as the operator made it, for jobs.

    What is left out: the agent's settings, what belongs to one Flux instance or job, what a
    supervisor tells one process, and every variable that holds a secret of the agent's, whatever
    its name. A value that is not UTF-8 is left out as well: a jobspec cannot hold it.

    A virtual environment that the operator activated (VIRTUAL_ENV is set) stays: it is part of
    the environment as the operator made it. One that only the agent runs from puts nothing into
    the environment, unless a wrapper did: pass it as `venv`, and its VIRTUAL_ENV and its entry
    of PATH go.

    Args:
        environ: the environment that the agent was started with.
        secrets: the agent's secrets; empty ones are ignored.
        venv: the folder of a virtual environment that is the agent's own.
    """
    telling = [secret for secret in secrets if secret]
    env = {
        name: value
        for name, value in environ.items()
        if not any(fnmatchcase(name, pattern) for pattern in _NOT_FOR_JOBS)
        and not _holds_secret(value, telling)
        and _is_text(name + value)
    }
    if venv and env.get("VIRTUAL_ENV") == venv:
        del env["VIRTUAL_ENV"]
        env.pop("VIRTUAL_ENV_PROMPT", None)
        own = os.path.join(venv, "bin")  # noqa: PTH118 - text compared with text, not a file
        entries = env.get("PATH", "").split(os.pathsep)
        env["PATH"] = os.pathsep.join(entry for entry in entries if entry != own)
    return env


def demote_python_path(path: MutableSequence[str], python_path: str, cwd: str) -> None:
    """Move what PYTHONPATH put before the interpreter's own packages to the end, in place.

    The Flux operator points PYTHONPATH at a flux view's site-packages, of another Python perhaps:
    a yaml or cffi from there would shadow the agent's own. Its empty entry, which stands for the
    current folder, goes: nothing is imported from a folder because we were started there. To be
    called before anything third-party is imported.

    Args:
        path: the module search path (sys.path).
        python_path: the value of PYTHONPATH.
        cwd: the current folder, which Python puts in the place of an empty entry.
    """
    named = python_path.split(os.pathsep) if python_path else []
    dropped = {"", cwd} if "" in named else {""}
    moved = [entry for entry in path if entry in named and entry not in dropped]
    path[:] = [e for e in path if e not in named and e not in dropped] + moved


def _holds_secret(value: str, secrets: Collection[str]) -> bool:
    return any(
        secret in value if len(secret) >= _SHORTEST_TELLING_SECRET else secret == value
        for secret in secrets
    )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
