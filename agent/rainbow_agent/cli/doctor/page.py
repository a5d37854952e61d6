"""docs/troubleshooting.md, made of doctor's own texts."""

from __future__ import annotations

from rainbow_agent.cli.doctor.faults import CHECKS, FAULTS

_HEAD = """\
# Troubleshooting

`rainbow-agent doctor` looks at the chain from the settings to a job that runs, link by link, and
says of each whether it is ok, a warning, or wrong, with the cause and the cure. It works when the
daemon is down, without a network, and without rights beyond yours. It ends with 0 when all is
well, with 1 when the worst is a warning, and with 2 when something is wrong.

`rainbow-agent doctor --bundle FILE` writes what a maintainer needs into a tar file, with secrets
out.

This page is made of doctor's own texts (`python -m rainbow_agent.cli.doctor.page`).
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
