"""docs/troubleshooting.md, made of doctor's own texts."""

from __future__ import annotations

from rainbow_agent.cli.doctor.faults import CHECKS, FAULTS

_HEAD = """\
# Troubleshooting

`rainbow-agent doctor` checks the chain from the settings to a running job, link by link. Each check
is ok, a warning, or wrong, with the cause and the remedy. It works while the daemon is down,
without a network, and without special privileges. It exits with status 0 if all is well, 1 if there
are warnings, and 2 if something is wrong.

`rainbow-agent doctor --bundle FILE` writes everything that a maintainer needs into a tar file, with
secrets masked.

This page is generated from doctor's own texts (`python -m rainbow_agent.cli.doctor.page`).
"""


def page() -> str:
    """The page's text."""
    parts = [_HEAD]
    for check, line in CHECKS.items():
        parts.append(f"\n## {check}\n\n{line}\n")
        for name, fault in FAULTS.items():
            if fault.check == check:
                level = fault.level.name.lower()
                parts.append(f"\n### {name} ({level})\n\n{fault.means}\n\nTo do: {fault.cure}\n")
    return "".join(parts)


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
