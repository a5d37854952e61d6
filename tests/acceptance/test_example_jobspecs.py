"""examples/: each jobspec is valid, is listed in the README there, and runs where it can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.flux import NO_FLUX, flux_command, private_flux
from support.program import Program, installed

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
JOBSPECS = sorted(EXAMPLES.glob("*.yaml"))
#: What runs on any machine with two cores.
PORTABLE = ("hello", "pipeline", "sweep", "script", "group")
#: What wants two nodes, too: two brokers on one machine are that.
TWO_NODES = ("nodes",)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="local"),
        pytest.param(True, id="flux", marks=pytest.mark.flux),
    ],
)
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The program over the local workload manager, or over a Flux of two brokers."""
    folder = tmp_path_factory.mktemp("example-jobspecs")
    if not request.param:
        with installed(folder, workload="local", local_cores=2) as program:
            yield program
        return
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    with (
        private_flux(size=2) as flux,
        installed(folder, environ={"FLUX_URI": flux.uri}) as program,
    ):
        yield program


def test_each_example_is_valid(tmp_path: Path) -> None:
    """`rainbow-agent validate --strict` finds neither an error nor a warning."""
    with installed(tmp_path, workload="local") as program:
        answer = program.run("validate", "--strict", *map(str, JOBSPECS))
    assert answer.code == 0, answer.out + answer.err


def test_the_readme_lists_each_example() -> None:
    """examples/README.md has a line for each file, and each file names its own command."""
    listed = re.findall(
        r"^\| \[([\w-]+\.yaml)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == [path.name for path in JOBSPECS]
    for path in JOBSPECS:
        assert f"#   rainbow-agent submit examples/{path.name}\n" in path.read_text()


def test_the_image_has_the_same_spack_job() -> None:
    """docker/spack/jobspec-spack.yaml, which the walk-through submits, is examples/spack.yaml."""
    image = yaml.safe_load((ROOT / "docker/spack/jobspec-spack.yaml").read_text())
    assert yaml.safe_load((EXAMPLES / "spack.yaml").read_text()) == image


@pytest.mark.parametrize("name", [*PORTABLE, *TWO_NODES])
def test_an_example_runs(program: Program, name: str) -> None:
    """`rainbow-agent run` completes every task of it."""
    if name in TWO_NODES and "FLUX_URI" not in program.environ:
        pytest.skip("the local workload manager has one node")
    answer = program.run("run", str(EXAMPLES / f"{name}.yaml"))
    assert answer.code == 0, answer.out + answer.err
    assert "completed" in answer.err
