"""What a public forge reads: workflows, forms, owners, citation, and the lock file."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import rainbow_agent

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SKIPPED = {".venv", ".git", "build", "dist"}
YAML_FILES = sorted(
    path
    for path in [*ROOT.rglob("*.yaml"), *ROOT.rglob("*.yml"), ROOT / "CITATION.cff"]
    # Helm's templates are YAML only once they are rendered (test_chart.py).
    if not {"fixtures", "templates", *SKIPPED} & set(path.relative_to(ROOT).parts)
)

#: File to the schema of that name which check-jsonschema brings.
SCHEMAS = {
    ".github/workflows/ci.yml": "github-workflows",
    ".github/workflows/release.yml": "github-workflows",
    ".github/dependabot.yml": "dependabot",
    ".github/ISSUE_TEMPLATE/bug.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config",
    "CITATION.cff": "citation-file-format",
}


def targets() -> set[str]:
    """The targets of the Makefile."""
    text = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", text, re.MULTILINE))


def steps(workflow: Path) -> list[dict[str, Any]]:
    """Every step of every job."""
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_yaml_file_can_be_read(path: Path) -> None:
    """Manifests, workflows, forms and alert rules are YAML."""
    assert [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items(), ids=str)
def test_a_file_of_the_forge_fits_its_schema(name: str, schema: str) -> None:
    """Workflows, forms, dependabot and the citation are what their readers expect."""
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("NO SCHEMAS: install check-jsonschema (extra `dev`)")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_of_the_forge_has_a_schema() -> None:
    """A form or workflow that is added is held against a schema, too."""
    there = {str(path.relative_to(ROOT)) for path in FORGE.rglob("*.yml")}
    assert there == {name for name in SCHEMAS if name.startswith(".github")}


def test_ci_tests_every_python_that_the_package_supports() -> None:
    """The matrix is what requires-python allows and the classifiers promise."""
    workflow = yaml.safe_load((FORGE / "workflows/ci.yml").read_text("utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    promised = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", classifier)
    ]
    assert matrix == promised
    supported = SpecifierSet(PROJECT["requires-python"])
    assert all(version in supported for version in matrix)
    oldest = min(map(Version, matrix))
    assert f"{oldest.major}.{oldest.minor - 1}" not in supported


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_runs_what_is_there(workflow: Path) -> None:
    """Each `make` target is one of the Makefile's, each script is in the repository."""
    run = "\n".join(step.get("run", "") for step in steps(workflow))
    called = set(re.findall(r"\bmake ([a-z][\w-]*)", run))
    assert called
    assert called <= targets()
    assert all((ROOT / name).exists() for name in re.findall(r"^\.ci/[\w-]+", run, re.MULTILINE))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_gets_few_rights(workflow: Path) -> None:
    """The default is to read; every job ends by itself; checkouts leave no credentials behind."""
    content = yaml.safe_load(workflow.read_text("utf-8"))
    assert content["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in content["jobs"].values())
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_what_runs_before_a_commit_is_in_the_development_environment() -> None:
    """Each hook's program comes with the extra `dev`, and what is named in it is there."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]
    names = {Requirement(each).name for each in PROJECT["optional-dependencies"]["dev"]}
    package = {"lint-imports": "import-linter"}
    for hook in hooks["hooks"]:
        program, *arguments = hook["entry"].split()
        name = Path(program).name
        assert package.get(name, name) in names
        assert all((ROOT / each).exists() for each in arguments if each.endswith(".py"))


def test_the_citation_is_of_this_version() -> None:
    """CITATION.cff has the package's name, version and licence."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["title"] == PROJECT["name"]
    assert str(citation["version"]) == rainbow_agent.__version__
    assert citation["license"] == PROJECT["license"]["text"]


def locked() -> dict[str, list[tuple[Version, Requirement]]]:
    """Name to the versions that the lock file pins, each with its marker."""
    found: dict[str, list[tuple[Version, Requirement]]] = {}
    for line in (ROOT / "requirements-dev.lock").read_text("utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            found.setdefault(requirement.name.lower(), []).append(
                (Version(pin.version), requirement)
            )
    return found


def test_the_lock_file_pins_the_development_environment() -> None:
    """Each requirement of the package and of `dev` has a version in it that satisfies it."""
    pins = locked()
    dev = PROJECT["optional-dependencies"]["dev"]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *dev]):
        name = requirement.name.lower()
        assert name in pins, f"{name} is not in requirements-dev.lock: run `make lock`"
        for version, _ in pins[name]:
            assert version in requirement.specifier, f"{name}=={version}: run `make lock`"


def test_the_lock_file_names_no_host() -> None:
    """Versions only: where packages come from is each machine's own setting."""
    text = (ROOT / "requirements-dev.lock").read_text("utf-8")
    assert not re.findall(r"https?:|--(?:extra-)?index|--find-links|file:", text)
