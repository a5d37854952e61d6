"""The wheel, built from this tree: what is in it, what it says of itself, and that it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import rainbow_agent
from support.wheels import build_wheel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, not unpacked."""
    return build_wheel(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """Its METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files in a folder of their own, away from this tree."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(unpacked: Path, *arguments: str) -> str:
    """Python with the wheel's packages in the place of this tree's, started elsewhere."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": str(unpacked), "HOME": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_it_holds_every_file_of_both_packages(names: set[str]) -> None:
    """Modules, SQL, stubs and py.typed; of the protocols, what was generated from them."""
    ours = set()
    for root in ("agent/rainbow_agent", "compspec/rainbow_compspec"):
        base = ROOT / root
        for path in base.rglob("*"):
            if path.is_file() and path.suffix not in (".proto", ".pyc"):
                ours.add(path.relative_to(base.parent).as_posix())
    assert {"rainbow_agent/py.typed", "rainbow_compspec/py.typed"} <= ours
    assert any(re.fullmatch(r"rainbow_agent/storage/sql/\d{4}_\w+\.sql", n) for n in ours)
    assert "rainbow_agent/jobspec/jobspec-v1.schema.json" in ours
    assert "rainbow_agent/fleet/grpc/stubs/rainbow_pb2.pyi" in ours
    assert ours - names == set()


def test_it_holds_nothing_else(names: set[str]) -> None:
    """Two packages, a man page and their metadata: no tests, nothing that was compiled."""
    tops = {name.partition("/")[0] for name in names}
    info = f"rainbow_agent-{rainbow_agent.__version__}.dist-info"
    data = info.replace(".dist-info", ".data")
    assert tops == {"rainbow_agent", "rainbow_compspec", info, data}
    assert {name for name in names if name.startswith(data)} == {
        f"{data}/data/share/man/man1/rainbow-agent.1"
    }
    assert not [n for n in names if "test_" in n or n.endswith((".pyc", ".so", ".db", ".log"))]


def test_it_holds_no_helper_of_tests(wheel: Path) -> None:
    """No folder of helpers, no `steps`, and no module that needs what only tests have."""
    foreign = re.compile(
        r"^\s*(?:from|import)\s+(?:pytest|_pytest|hypothesis|trustme|support|chaos|bench|tests)\b",
        re.MULTILINE,
    )
    with zipfile.ZipFile(wheel) as archive:
        modules = {n: archive.read(n).decode() for n in archive.namelist() if n.endswith(".py")}
    assert len(modules) > 200
    assert not {"steps", "testing", "tests", "fakes", "support", "conftest"} & {
        word for name in modules for word in Path(name).with_suffix("").parts
    }
    assert [name for name, text in modules.items() if foreign.search(text)] == []


def test_its_metadata(metadata: Message) -> None:
    """Name, version, licence, Python version and a README are what a registry asks for."""
    assert metadata["Name"] == "rainbow-agent"
    assert metadata["Version"] == rainbow_agent.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert "MIT" in (metadata["License"] or metadata["License-Expression"])
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert len(str(metadata.get_payload())) > 500


def test_flux_and_tools_are_extras(metadata: Message) -> None:
    """flux-python must go with the Flux that is there, so it is only installed on request."""
    assert set(metadata.get_all("Provides-Extra", [])) >= {"flux", "dev"}
    plain = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert any(r.startswith("grpcio") for r in plain)
    assert not [r for r in plain if re.match(r"flux|ply|pytest|mypy|ruff|hypothesis", r)]


def test_its_scripts_work(wheel: Path, unpacked: Path) -> None:
    """Both console scripts are declared, and what they point at runs from the wheel alone."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        scripts = dict(re.findall(r"^([\w-]+) = (\S+)$", archive.read(name).decode(), re.MULTILINE))
    assert scripts == {
        "rainbow-agent": "rainbow_agent.cli:main",
        "rainbow-compspec": "rainbow_compspec.cli:main",
    }
    assert rainbow_agent.__version__ in run(unpacked, "-m", "rainbow_agent.cli", "version")
    help_text = run(unpacked, "-c", "from rainbow_compspec.cli import main; main(['--help'])")
    assert "extract" in help_text


def test_the_ledger_finds_its_sql_there(unpacked: Path, tmp_path: Path) -> None:
    """A ledger can be made with what the wheel holds."""
    script = (
        "from pathlib import Path\n"
        "import rainbow_agent\n"
        "from rainbow_agent.storage.ledger import SqliteLedger\n"
        f"ledger = SqliteLedger.open(Path({str(tmp_path)!r}) / 'ledger.sqlite')\n"
        "print(rainbow_agent.__file__, len(ledger.jobs()))\n"
        "ledger.close()\n"
    )
    where, jobs = run(unpacked, "-c", script).split()
    assert where.startswith(str(unpacked))
    assert jobs == "0"


def test_no_folder_of_the_tree_shadows_a_package() -> None:
    """`agent/` and `compspec/` are no packages: `compspec` is another project's on PyPI."""
    for folder in ("agent", "compspec", "docker", "systemd", "crd"):
        assert not (ROOT / folder / "__init__.py").exists()
