"""`rainbow-agent completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rainbow_agent.cli.common import reports_errors
from rainbow_agent.core.errors import RainbowAgentError

PROGRAM = "rainbow-agent"
#: By which the shell asks the program what could follow.
VARIABLE = "_RAINBOW_AGENT_COMPLETE"


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@reports_errors
def command(ctx: click.Context, shell: str) -> None:
    """Print a script for SHELL that completes verbs, options, job ids and task names.

    bash: source <(rainbow-agent completion bash), in ~/.bashrc. zsh: the same, in ~/.zshrc.
    fish: rainbow-agent completion fish > ~/.config/fish/completions/rainbow-agent.fish

    Example: rainbow-agent completion bash
    """
    made = get_completion_class(shell)
    if made is None:
        raise RainbowAgentError(f"click knows no completion for {shell}")
    root = ctx.find_root().command
    # Not source(): for bash that runs bash to ask its version, which does not matter here.
    template = made(root, {}, PROGRAM, VARIABLE)
    click.echo(template.source_template % template.source_vars())
