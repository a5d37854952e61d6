"""The embedded scheduler under its name up to 0.1, kept a release."""

from rainbow_agent.cli.scheduler import command

if __name__ == "__main__":
    command()
