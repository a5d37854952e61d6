"""The pages of the repository: links lead somewhere, decisions have one number each."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs/decisions"
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
IGNORED = {".venv", ".git", "build", "dist", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not IGNORED & set(path.relative_to(ROOT).parts) and "fixtures" not in path.parts
)

#: [text](target), outside of code.
LINK = re.compile(r"\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|``[^\n]*?``|`[^`\n]*`", re.MULTILINE | re.DOTALL)
CITED = re.compile(r"decisions?[ /]\[?(\d{4})\b", re.IGNORECASE)


def number(record: Path) -> str:
    """The number at the beginning of a record's file name."""
    return record.name[:4]


def title(record: Path) -> str:
    """What its first line says after the number."""
    return record.read_text("utf-8").splitlines()[0].partition(": ")[2]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that a forge makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    made = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_resolves(page: Path) -> None:
    """A link to a file of the repository names one that is there, and a heading that it has."""
    broken = []
    for target in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken, f"{page.relative_to(ROOT)} links to {broken}, which is not there"


def test_a_decision_has_a_number_of_its_own() -> None:
    """No two records share one, and each begins with a heading that has it."""
    shared = [key for key, count in Counter(map(number, RECORDS)).items() if count > 1]
    assert not shared, f"these numbers were given twice: {shared}"
    for record in RECORDS:
        assert re.match(rf"# {number(record)}: \S", record.read_text("utf-8")), (
            f"begin {record.name} with `# {number(record)}: title`"
        )


def test_the_index_has_every_decision_under_its_title() -> None:
    """docs/decisions/README.md has one line a record, in order."""
    index = (DECISIONS / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", index, re.MULTILINE)
    expected = [(number(record), record.name, title(record)) for record in RECORDS]
    missing = [f"| [{n}]({name}) | {text} |" for n, name, text in expected]
    assert listed == expected, "docs/decisions/README.md should list:\n" + "\n".join(missing)


def test_every_decision_that_is_cited_exists() -> None:
    """A number in code, tests, docs, manifests and the changelog is that of a record."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\0")
    files = [ROOT / name for name in tracked if name] or [
        path for path in ROOT.rglob("*") if not IGNORED & set(path.relative_to(ROOT).parts)
    ]
    known = set(map(number, RECORDS))
    unknown = []
    for file in files:
        if not file.is_file() or file.suffix not in {".py", ".md", ".yaml", ".yml", ".toml", ".sh"}:
            continue
        unknown += [
            f"{file.relative_to(ROOT)}: {cited}"
            for cited in CITED.findall(file.read_text("utf-8"))
            if cited not in known
        ]
    assert not unknown, f"no such decision: {unknown}"


#: A path with a folder in backticks: of the repository, or of one of the two packages.
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|toml|md|sh|sql))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """`fleet/renewal.py` is in the agent's package, `tests/conftest.py` in the repository."""
    roots = (ROOT, ROOT / "agent/rainbow_agent", ROOT / "compspec/rainbow_compspec")
    missing = [
        name
        for name in NAMED.findall(page.read_text("utf-8"))
        if not any((root / name).exists() for root in roots)
    ]
    assert not missing, f"{page.relative_to(ROOT)} names {missing}, which is not there"


def test_the_label_that_the_pages_name_is_the_one_of_the_policy() -> None:
    """A pod without it does not reach rainbow."""
    policy = yaml.safe_load((ROOT / "crd/rainbow/network-policy.yaml").read_text("utf-8"))
    members = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    ((name, value),) = members.items()
    for page in ("docs/security.md", "docs/minicluster.md"):
        assert f'`{name}: "{value}"`' in (ROOT / page).read_text("utf-8"), page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_wheel_that_commands_install_is_built_before(page: Path) -> None:
    """`dist/...whl` is there once `make wheel` or `make dist` has run."""
    for block in re.findall(r"^```.*?^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        installs = re.search(r"dist/\S*\.whl", block)
        if installs:
            assert re.search(r"make (?:wheel|dist)", block[: installs.start()]), block
