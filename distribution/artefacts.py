"""Everything that a release is made of, from the tree in the current folder.

`python distribution/artefacts.py FOLDER`: wheel, sdist, a list of what an installation brings
(CycloneDX), a repository for spack, the recipe for conda, and the checksums of all. The same commit
gives the same wheel and sdist, byte for byte.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

SBOM = "rainbow-agent.cdx.json"
#: A repository of packages for spack, whose parent has the name that spack wants; and its archive.
SPACK = Path("distribution/spack/spack_repo")
SPACK_ARCHIVE = "spack-repo.tar.gz"
CONDA = Path("distribution/conda/recipe.yaml")
CONDA_NAME = "conda-recipe.yaml"
#: Where no git says when the tree was committed.
_EPOCH = "1700000000"


def build(folder: Path) -> tuple[Path, Path]:
    """Build into an empty folder; the wheel and the sdist."""
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or _time(),
    }
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"]
    subprocess.run([*command, "-d", str(folder.resolve())], check=True, env=environment)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def _time() -> str:
    """When the tree was committed, in epoch seconds."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or _EPOCH


def check(wheel: Path, sdist: Path) -> None:
    """Check what a package index and an installer will see."""
    beside = Path(sys.executable).parent
    subprocess.run([beside / "twine", "check", "--strict", wheel, sdist], check=True)
    subprocess.run([beside / "check-wheel-contents", wheel], check=True)


def write_sbom(wheel: Path, file: Path) -> None:
    """Install the wheel into an environment of its own, and list what is there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True, symlinks=True)
        python = Path(folder) / "bin/python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
        subprocess.run(
            [python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"], check=True
        )
        program = str(Path(sys.executable).parent / "cyclonedx-py")
        command = [program, "environment"]
        command += ["--output-reproducible", "--pyproject", "pyproject.toml"]
        subprocess.run([*command, "--output-file", str(file), str(python)], check=True)


def write_recipes(sdist: Path, folder: Path) -> None:
    """The recipes of the tree, with the version and the digest of the sdist."""
    version = sdist.name.removeprefix("rainbow_agent-").removesuffix(".tar.gz")

    def filled(source: Path) -> str:
        text = source.read_text("utf-8")
        return text.replace("@VERSION@", version).replace("@SHA256@", digest(sdist))

    (folder / CONDA_NAME).write_text(filled(CONDA), encoding="utf-8")
    with (
        (folder / SPACK_ARCHIVE).open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for source in sorted(SPACK.rglob("*")):
            if source.suffix in (".py", ".yaml"):
                content = filled(source).encode()
                member = tarfile.TarInfo(str(source.relative_to(SPACK.parent)))
                member.size, member.mode = len(content), 0o644
                archive.addfile(member, io.BytesIO(content))


def digest(file: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Make all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-sbom", action="store_true", help="leave out what needs an index")
    parser.add_argument("--no-check", action="store_true", help="leave out the checks")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty: remove it, or name another folder")
    wheel, sdist = build(folder)
    if not options.no_check:
        check(wheel, sdist)
    if not options.no_sbom:
        write_sbom(wheel, folder / SBOM)
    write_recipes(sdist, folder)
    files = sorted(path for path in folder.iterdir() if path.suffix != "")
    sums = "".join(f"{digest(path)}  {path.name}\n" for path in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="ascii")


if __name__ == "__main__":
    main()
