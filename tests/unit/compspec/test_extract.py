"""`rainbow-compspec extract` through its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rainbow_compspec.cli import main


def run(*args: str | Path, env: dict[str, str] | None = None) -> Result:
    """Runs the command in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args], env=env)


def test_this_machine() -> None:
    """It describes the machine that the tests run on."""
    result = run("extract")
    assert result.exit_code == 0
    assert json.loads(result.output)["results"]["rainbow"]["sections"]["probes"]["cpu"] == "ok"


def test_a_recorded_machine(hosts_folder: Path) -> None:
    """--root replays a recorded tree."""
    result = run("extract", "--root", hosts_folder / "nvidia-h100", "--only", "gpu, cpu")
    sections = json.loads(result.output)["results"]["rainbow"]["sections"]
    assert sections["gpu"]["count"] == "4"
    assert sections["probes"].keys() == {"cpu", "gpu"}


def test_a_mounted_machine(tmp_path: Path) -> None:
    """--root is else a mounted file system; what is not there says so."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 4 kB\n", encoding="utf-8")
    result = run("extract", "--root", tmp_path, "--skip", "mpi,gpu,storage")
    sections = json.loads(result.output)["results"]["rainbow"]["sections"]
    assert sections["memory"]["total"] == "4096"
    assert sections["probes"]["cpu"].startswith("failed: cannot read /proc/cpuinfo")


def test_overrides(hosts_folder: Path, tmp_path: Path) -> None:
    """The environment wins over the file, the file over the machine; the source is shown."""
    (tmp_path / "set.yaml").write_text("cpu: {model: file, vendor: file}\n", encoding="utf-8")
    result = run(
        "extract",
        "--root",
        hosts_folder / "plain-vm",
        "--set-file",
        tmp_path / "set.yaml",
        env={"RAINBOW_COMPSPEC_SET_CPU__MODEL": "environment"},
    )
    sections = json.loads(result.output)["results"]["rainbow"]["sections"]
    assert sections["cpu"]["model"] == "environment"
    assert sections["cpu"]["vendor"] == "file"
    assert sections["origin"]["cpu.vendor"] == "given: override"


def test_out_is_replaced_in_one_step(hosts_folder: Path, tmp_path: Path) -> None:
    """The old file makes way for the whole new one, and nothing else is left in the folder."""
    out = tmp_path / "node-1.json"
    out.write_text("old", encoding="utf-8")
    result = run("extract", "--root", hosts_folder / "plain-vm", "--out", out)
    assert (result.exit_code, result.output) == (0, "")
    assert "rainbow" in json.loads(out.read_text(encoding="utf-8"))["results"]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--only", "cpus"], "no probe 'cpus'"),
        (["--set-file", "/nowhere/set.yaml"], "/nowhere/set.yaml: cannot be read"),
        (["--out", "/nowhere/node.json"], "/nowhere/node.json: cannot be written"),
    ],
)
def test_errors_are_sentences(args: list[str], message: str, hosts_folder: Path) -> None:
    """What goes wrong ends in exit code 1 and a message that names it, without a traceback."""
    result = run("extract", "--root", hosts_folder / "plain-vm", *args)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_help_imports_no_verb() -> None:
    """`--help` names the verbs without loading what they need."""
    code = (
        "import sys; from rainbow_compspec.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(m for m in sys.modules if 'archspec' in m or 'probes' in m))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "extract" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_an_unknown_verb_is_refused() -> None:
    """Click names the verb and ends with 2."""
    result = run("extrude")
    assert result.exit_code == 2
    assert "extrude" in result.output


def test_output_that_cannot_be_written_is_one_sentence() -> None:
    """A full disk is reported with status 1, without a traceback; a closed pipe is left quietly."""
    program = Path(sys.executable).with_name("rainbow-compspec")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [program, "show", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "Error: cannot write: No space left on device\n")
