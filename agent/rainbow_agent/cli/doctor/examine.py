"""The whole chain, in order; a link that is broken hides only those that hang on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from rainbow_agent.cli.doctor import local, remote
from rainbow_agent.cli.doctor import workload as workloads
from rainbow_agent.cli.doctor.faults import Finding, Level, found, well, with_skipped
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.fleet.credentials import ConfigFileStore
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings

#: The links to rainbow and to the workload manager: each needs those before it.
RAINBOW_LINKS: Final = ("dns", "tcp", "tls", "server", "registration", "graph")
WORKLOAD_LINKS: Final = ("flux", "bindings", "instance", "queue", "job")
#: `status` of a settings object, as `rainbow-agent status -o json` has it.
Look = Callable[[Settings], Mapping[str, Any]]


def examine(
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
    from_config: local.ReadConfig,
    look: Look,
    *,
    run_job: bool,
) -> Iterator[Finding]:
    """Each finding as soon as it is there, in the order of CHECKS.

    Args:
        environ: the environment.
        flags: settings from the command line.
        from_config: as of settings.load.
        look: what `status` says.
        run_job: whether to submit a job that runs.
    """
    settings, findings = local.read_settings(environ, flags, from_config)
    if settings is None:
        yield from findings
        return
    yield from local.settings_lines(findings, settings)
    secret, problem = _own_secret(settings)
    (folder,) = local.state(settings)
    closed = folder.fault == "state-other-user"
    if problem and closed and not os.access(settings.config.parent, os.X_OK):
        yield from _unseen("secrets")
    else:
        if problem and not any(each.fault == "config-other-user" for each in findings):
            findings.append(found("config-broken", problem))
        yield from local.secrets(findings, settings, registered=secret is not None)
    yield from local.name(findings, settings)
    yield folder
    tls = [each for each in findings if each.check == "tls"]
    yield from with_skipped(_rainbow(settings, secret, tls), RAINBOW_LINKS)
    if closed:  # the workload manager answers its owner: what it tells others is no finding
        for link in WORKLOAD_LINKS:
            yield from _unseen(link)
    else:
        links = workloads.workload(settings, environ, run_job=run_job)
        yield from with_skipped(links, WORKLOAD_LINKS)
    yield from _unseen("ledger") if closed else local.ledger(settings)
    yield from local.free_space(settings)
    yield from local.spack(environ)
    yield from _unseen("clock") if closed else local.clock(settings, SystemClock().now())
    yield from _unseen("daemon") if closed else _daemon(look(settings))


def _unseen(check: str) -> Iterator[Finding]:
    """What is in another user's state folder."""
    yield Finding(check, Level.SKIP, "not looked at: it needs `state`")


def _rainbow(settings: Settings, secret: Secret | None, tls: list[Finding]) -> Iterator[Finding]:
    """The way to rainbow, up to the first link that is broken, and what rainbow says."""
    reached = True
    for line in [*remote.reach(settings), *tls]:
        reached = reached and line.level is not Level.WRONG
        yield line
    if reached:
        yield from remote.ask(settings, secret)


def _own_secret(settings: Settings) -> tuple[Secret | None, str]:
    store = ConfigFileStore(
        path=settings.config,
        cluster=settings.cluster,
        host=settings.host,
        registration_secret=settings.secret,
        hide=lambda _: None,
    )
    try:
        return store.load(), ""
    except RainbowAgentError as exc:
        return None, str(exc)


def _daemon(status: Mapping[str, Any]) -> Iterator[Finding]:
    """What the daemon says of itself, and what it cannot say."""
    if status["state"] == "stopped":
        yield found("daemon-down", "no daemon is using this state folder")
        return
    for reason in status["reasons"]:
        stuck = reason["name"] in ("heartbeat-old", "process-stopped")
        stuck = stuck or reason["name"].startswith("loop-stuck-")
        text = f"{reason['name']} since {reason['since']}: {reason['reason']}"
        yield found("daemon-stuck" if stuck else "daemon-degraded", text)
    if not status["reasons"]:
        yield well("daemon", f"pid {status['daemon']['pid']}, {status['state']}")
