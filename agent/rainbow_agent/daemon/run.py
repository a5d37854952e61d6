"""`rainbow-agent start`: the process around the daemon: log, lock, signals, watchdog.

What the daemon is made of (gRPC, sqlite, YAML) is imported late: the nodes describe themselves
meanwhile.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rainbow_agent import __version__
from rainbow_agent.core.errors import Fatal, RainbowAgentError
from rainbow_agent.daemon import systemd
from rainbow_agent.daemon.lock import lock
from rainbow_agent.daemon.process import expect_limits, keep_private
from rainbow_agent.daemon.systemd import Watchdog
from rainbow_agent.fleet.grpc.tls import check_tls
from rainbow_agent.fleet.secret_copy import expect_config
from rainbow_agent.inventory import early_words
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import Redact, keep_recent, set_level, set_up, when
from rainbow_agent.runtime.loops import MAX_TURN_S, Telemetry
from rainbow_agent.runtime.memory import keep_small
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals
from rainbow_agent.storage import agent_lock, drain_file, log_level, runtime_file, state_dir
from rainbow_agent.workload.choose import Choice, choose

if TYPE_CHECKING:
    from rainbow_agent.daemon.restart import RestartLoop

log = logging.getLogger(__name__)


def run_daemon(settings: Settings, *, until_idle: bool) -> int:
    """Run the daemon in this process; its exit code."""
    redact, choice = _prepare(settings)
    service, clock = systemd.take_from(os.environ), SystemClock()
    telemetry = Telemetry(clock, _loop_limits(settings))
    with ExitStack() as stack:
        ends = _Ends(settings.state_dir)
        stop = stack.enter_context(
            stop_on_signals(settings.grace, lambda: _relevel(settings), ends.keep)
        )
        before = agent_lock.last_run(settings.state_dir)
        since = lock(settings, stack, stop)
        if since is None:
            return 0
        early = early_words.begin(settings, choice, stop)
        stack.callback(early.close)
        keep_recent(settings.state_dir)
        ends.begin(since)
        stack.callback(ends.close)
        _say_how_the_last_run_ended(before, settings)
        _lift_drain(settings.state_dir)
        log_level.clear(settings.state_dir)
        if service.watchdog_seconds is not None:
            watchdog = Watchdog(telemetry.loop_health, service.alive, service.watchdog_seconds / 2)
            stack.enter_context(watchdog.watching())
        _say_starting(settings, choice)
        from rainbow_agent.daemon.build import DaemonBuilder  # noqa: PLC0415 - heavy, see above
        from rainbow_agent.daemon.restart import RestartLoop  # noqa: PLC0415 - likewise
        from rainbow_agent.daemon.status_writer import StatusWriter  # noqa: PLC0415 - likewise

        status = StatusWriter(settings, choice, service, since, clock)
        builder = DaemonBuilder(
            settings, choice, redact, service, status, telemetry, early, until_idle=until_idle
        )
        restarts = RestartLoop(
            builder.build, stop=stop, telemetry=telemetry, clock=clock, status=status
        )
        code = ends.run(restarts)
        if code == Fatal.exit_code and choice.kind == "local":
            _end_idle_workload(settings.state_dir / "workload")
        return code


def _prepare(settings: Settings) -> tuple[Redact, Choice]:
    """Log, limits, folder, privacy: what keeps secrets out of the log, and the workload manager."""
    redact = set_up(settings.log_level, settings.log_format, environ=os.environ)
    redact.add(settings.secret_values)
    expect_limits()
    keep_small()
    choice = choose(settings)
    check_tls(settings)
    state_dir.prepare(settings.state_dir)
    expect_config(settings)
    state_dir.close_file(settings.config)
    keep_private(os.environ, ("RAINBOW_SECRET", "RAINBOW_TOKEN"))
    return redact, choice


def _end_idle_workload(folder: Path) -> None:
    """What was started only to describe the cluster does not stay behind; one with jobs does."""
    from rainbow_agent.workload.local.workload import shut_down  # noqa: PLC0415 - not over Flux

    with suppress(RainbowAgentError):
        shut_down(folder, kill=False)


def _say_starting(settings: Settings, choice: Choice) -> None:
    log.info(
        "Starting rainbow-agent %s for cluster %s",
        __version__,
        settings.cluster,
        extra={
            "action": "starting",
            "rainbow": settings.host,
            "workload": choice.kind,
            "because": choice.why,
            "state_dir": str(settings.state_dir),
        },
    )


class _Ends:
    """Says and keeps how this run ends: an order, an error and a kill must not look alike.

    Args:
        folder: the state folder; without its lock nothing is written there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run: float | None = None

    def begin(self, run: float) -> None:
        """The lock is held from now on; which run this is, as lock() returned it."""
        self._run = run

    def close(self) -> None:
        """The lock is given back: the file is that of another agent from now on."""
        self._run = None

    def keep(self, status: int, reason: str) -> None:
        """It ends with this status, for this reason."""
        at, run = SystemClock().now(), self._run
        log.info("Stopped: %s", reason, extra={"action": "stopped", "status": status})
        if run is not None:
            runtime_file.write_end(self._folder, runtime_file.End(run, at, status, reason))

    def run(self, restarts: RestartLoop) -> int:
        """Run to the end, and keep what that was."""
        status, reason = 1, "a bug in the agent; its log has the traceback"
        try:
            status = restarts.run()
            reason = restarts.reason
        except RainbowAgentError as exc:
            status, reason = exc.exit_code, str(exc)
            raise
        finally:
            self.keep(status, reason)
        return status


def _say_how_the_last_run_ended(before: agent_lock.Holder | None, settings: Settings) -> None:
    """A run that left no word was killed, which may have gone unnoticed."""
    runtime = runtime_file.read_runtime(settings.state_dir)
    if before is not None and runtime_file.end_of(before.since, runtime) is None:
        log.warning(
            "The run before this one (pid %d, since %s) ended without a word: it was killed, or the"
            " machine went down",
            before.pid,
            when(before.since),
            extra={"action": "last_run_killed"},
        )


def _lift_drain(folder: Path) -> None:
    """Whoever was stopped is gone, and with it the reason to take no jobs."""
    drain = drain_file.lift_stop(folder)
    if drain is not None:
        log.info(
            "Lifting the drain for the stop of the daemon before this one: %s",
            drain.reason or "no reason given",
            extra={"action": "drain_lifted"},
        )


def _relevel(settings: Settings) -> None:
    """SIGHUP: log at the level that was asked for; said on the more talkative side."""
    level, root = log_level.read(settings.state_dir) or settings.log_level, logging.getLogger()
    quieter = logging.getLevelName(level.upper()) > root.level
    if not quieter:
        set_level(level)
    log.info("The log is at level %s from now on", level, extra={"action": "log_level"})
    set_level(level)


def _loop_limits(settings: Settings) -> dict[str, float]:
    """Seconds that one turn may take, of loops whose slowest answer a setting allows."""
    rest = MAX_TURN_S / 3  # beside the one answer
    return {
        "main": max(MAX_TURN_S, settings.timeout + rest),
        "reporter": max(MAX_TURN_S, settings.timeout + rest),
        "lookout": max(MAX_TURN_S, settings.extract_timeout + rest),
    }
