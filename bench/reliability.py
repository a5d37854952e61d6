"""Writes the table of docs/reliability.md from what the outage tests measured.

RELIABILITY_JSON=build/reliability.jsonl pytest tests/acceptance/test_outages*.py
python bench/reliability.py build/reliability.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def table(lines: list[str]) -> str:
    """The measurements as a table; of one that was taken twice the last."""
    rows = {}
    for line in lines:
        found = json.loads(line)
        rows[found["what"], found["parts"]] = found
    text = ["| outage | over | recovered when | seconds |", "|---|---|---|---|"]
    text += [
        f"| {row['what']} | {row['parts']} | {row['until']} | {row['seconds']} |"
        for row in rows.values()
    ]
    return "\n".join(text)


def main() -> None:
    """Replace what stands between the marks."""
    measured = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(measured)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
