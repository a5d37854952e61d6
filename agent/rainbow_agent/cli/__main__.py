"""`python -m rainbow_agent.cli`: the same command, by module."""

from rainbow_agent.cli import main

main(prog_name="rainbow-agent")
