"""The command line: one file a verb, each imported when it is used."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from rainbow_agent.runtime.environment import demote_python_path
from rainbow_agent.runtime.thread_caches import begin_without_thread_caches

if [os.path.basename(sys.argv[0]), *sys.argv[1:2]] == ["rainbow-agent", "start"]:  # noqa: PTH119
    # Now, since all that is imported before is imported twice.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # stays so when it begins again
    begin_without_thread_caches(os.environ)

# Before anything of ours that others could shadow is imported: a Flux view puts another Python's
# site-packages on PYTHONPATH, before our own (docs/architecture.md).
demote_python_path(sys.path, os.environ.get("PYTHONPATH", ""), os.getcwd())  # noqa: PTH109 - text

import click  # noqa: E402

from rainbow_agent import __version__  # noqa: E402
from rainbow_agent.cli.owners import TYPED  # noqa: E402
from rainbow_agent.runtime.fault_injection import install  # noqa: E402
from rainbow_agent.runtime.logs import clean  # noqa: E402
from rainbow_agent.runtime.standard_streams import repair  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem

VERBS = (
    "start",
    "status",
    "jobs",
    "explain",
    "logs",
    "cancel",
    "history",
    "doctor",
    "config",
    "submit",
    "wait",
    "fetch",
    "fleet",
    "inbox",
    "receive",
    "drain",
    "resume",
    "log-level",
    "register",
    "deregister",
    "run",
    "validate",
    "satisfy",
    "scheduler",
    "demo",
    "manifest",
    "assets",
    "completion",
    "version",
)

#: What `--help` says of a verb without importing it, which would take four times as long. A test
#: compares each with the first sentence of the verb's own help; a verb that is not here is
#: imported.
SHORT_HELP = {
    "start": "Run the daemon: register the cluster, receive jobs, submit them, and report.",
    "status": "Show the agent's status, also while it is down.",
    "jobs": "List the jobs that this cluster received, or show the tasks of each JOB as a tree.",
    "explain": "Tell each JOB's whole story: why it is in its state, and what to do next.",
    "logs": "Show the output of a JOB's tasks, or of one TASK.",
    "cancel": "Cancel JOBs with all their tasks, and report it to rainbow.",
    "history": "Export the jobs in the ledger to a file, before the oldest are removed.",
    "doctor": "Check the whole chain, from the settings to a running job, and say what to do.",
    "config": "Show the settings in this shell: each value, and where it comes from.",
    "submit": "Submit a job to the fleet: a jobspec, or a plain command after `--`.",
    "wait": "Wait for the end of jobs that were sent from here, and exit as they did.",
    "fetch": "Fetch the files that a job's jobspec names as its results, to here.",
    "fleet": "Show each cluster to which jobs are sent from here, one a line, as its agent says.",
    "inbox": "Make an inbox, in which a sender's jobs are reported, or show it as a page.",
    "receive": (
        "Show the jobs that are waiting for this cluster in rainbow, without accepting any."
    ),
    "drain": "Take no new jobs from rainbow, and finish those that are here.",
    "resume": "Take new jobs again after `rainbow-agent drain`.",
    "log-level": "Change the log level of the running daemon, until it exits.",
    "register": (
        "Register this cluster with rainbow and store its secret; `start` does this by itself."
    ),
    "deregister": "Remove this cluster from rainbow and forget its secret. Stop the daemon first.",
    "run": "Run JOBSPEC directly on the local Flux, in dependency order, and watch it.",
    "validate": "Check jobspec files, without a cluster; `-` is standard input.",
    "satisfy": "Say whether this cluster can run JOBSPEC, and why, without running it.",
    "scheduler": ("Run a rainbow-compatible scheduler, for a first look, tests and small fleets."),
    "demo": (
        "Run scheduler, agent and workload manager on this machine, and two jobs through them."
    ),
    "manifest": "Write the manifest of a MiniCluster whose agent joins rainbow by itself.",
    "assets": (
        "Show or copy the files that come with the agent: unit, alert rules, dashboard, manifests."
    ),
    "completion": (
        "Print a script for SHELL that completes verbs, options, job ids and task names."
    ),
    "version": "Show the version of the agent and of Python.",
}


def _lost_output(exc: OSError) -> NoReturn:
    """Exit with status 1 when the output cannot be written; a closed pipe is not worth a word.

    Any other error of the system that no verb expected is said in a sentence.
    """
    if exc.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EDQUOT) or exc.filename:
        if os.environ.get("RAINBOW_LOG_LEVEL") == "debug":
            raise exc
        place = f"{exc.filename}: " if exc.filename else ""
        click.echo(f"error: {clean(f'{place}{exc.strerror or exc}')}", err=True)
        sys.exit(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what Python still holds back is not written at exit either
    with suppress(OSError):
        if exc.errno != errno.EPIPE:
            click.echo(f"error: cannot write: {exc.strerror}", err=True)
        sys.stderr.flush()
        sys.exit(1)
    os.dup2(nowhere, 2)
    sys.exit(1)


@contextmanager
def _errors_of_click() -> Iterator[None]:
    """What click finds wrong with the arguments is said as all other errors are: in a sentence."""
    try:
        yield
    except click.ClickException as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":  # click 8.2: the help is the message
            click.echo(exc.format_message(), err=True)
        else:
            click.echo(f"error: {clean(_sentence(exc))}", err=True)
        sys.exit(exc.exit_code)
    except click.Abort:
        click.echo("error: interrupted", err=True)
        sys.exit(1)


def _sentence(exc: click.ClickException) -> str:
    """What is wrong, and where to read how it is used."""
    text = exc.format_message().removesuffix(".")
    text = text[:1].lower() + text[1:]
    context = getattr(exc, "ctx", None)
    if context is None:
        return text
    return f"{text}{'' if text.endswith('?') else '.'} See `{context.command_path} --help`"


class LazyGroup(click.Group):
    """A group whose verbs are modules of this package, in the order of a first day's use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command: attribute `command` of its module."""
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"rainbow_agent.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)  # noqa: S101 - for mypy; every verb has one
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; one that is mistyped is an error with the nearest that there is."""
        ctx.meta[TYPED] = tuple(args)
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            ctx.fail(f"there is no command {args[0][:40]!r}{hint}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a verb; output that cannot be written is an error of one sentence, or of none."""
        repair()
        install(os.environ)
        if sys.argv[1:2] == ["start"]:
            # Until the daemon has a handler of its own, which logrotate must not have to wait for.
            signal.signal(signal.SIGHUP, lambda *_: None)
        try:
            try:
                with _errors_of_click():
                    return super().main(*args, **{**kwargs, "standalone_mode": False})
            finally:
                sys.stdout.flush()
        except OSError as exc:
            _lost_output(exc)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs that begin so, without importing any; options as click has them."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only when asked

        verbs = [
            CompletionItem(verb, help=SHORT_HELP.get(verb))
            for verb in VERBS
            if verb.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs and what each does, in whole sentences."""
        rows = []
        for verb in VERBS:
            short = SHORT_HELP.get(verb)
            if short is None and (command := self.get_command(ctx, verb)):
                short = first_sentence(command)
            rows.append((verb, short or ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def first_sentence(command: click.Command) -> str:
    """The first paragraph of a verb's help."""
    return " ".join((command.help or "").split("\n\n")[0].split())


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def main() -> None:
    """Make a Flux cluster a member of a rainbow fleet.

    Settings come from flags, RAINBOW_* variables, rainbow-config.yaml and defaults, in this order
    (docs/settings.md). Exit status: 0 success, 1 failure, 2 usage or configuration, 42 do not
    restart.
    """
