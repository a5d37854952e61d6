"""`rainbow-agent log-level`."""

from __future__ import annotations

import click

from rainbow_agent.cli.common import reports_errors, say, settings_options
from rainbow_agent.cli.state_folder import expect_own
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, log_level


@click.command(name="log-level")
@click.argument("level", type=click.Choice([*log_level.LEVELS, "default"]))
@settings_options("state_dir")
@reports_errors
def command(level: str, settings: Settings) -> None:
    """Change the log level of the running daemon, until it exits.

    `default` is the level that it started with (RAINBOW_LOG_LEVEL).

    Example: rainbow-agent log-level debug
    """
    expect_own(settings)
    holder = agent_lock.running(settings.state_dir)
    if holder is None:
        raise UsageError(
            f"no daemon is using {settings.state_dir}; for its next start set"
            f" RAINBOW_LOG_LEVEL={level}"
        )
    try:
        if level == "default":
            log_level.clear(settings.state_dir)
        else:
            log_level.write(settings.state_dir, level)
        log_level.tell(holder.pid)
    except OSError as exc:
        raise RainbowAgentError(
            f"cannot signal the daemon (pid {holder.pid}): {exc.strerror}; run this as its user"
        ) from exc
    what = "the level that it started with" if level == "default" else f"level {level}"
    say(f"The daemon (pid {holder.pid}) logs at {what} from now on.")
