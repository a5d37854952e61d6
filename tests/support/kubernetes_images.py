"""For tests: the images that pods need, built from docker/*/Dockerfile as they stand.

There is no registry. What is stood in for: the Debian base, which mmdebstrap makes, with this
machine's certificates; the Go image, whose `go install` hands out this machine's rainbow-scheduler;
spack, whose stand-in writes a database in spack's form; the flux view, and an image that has Flux
itself, with this machine's (kubernetes_view.py).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from support.flux import fluxion_environ
from support.kubernetes_config import PAUSE_IMAGE
from support.kubernetes_programs import CACHE, ROOT, program
from support.kubernetes_view import View
from support.servers import REAL_PROGRAM

_LIBRARY: Final = "docker.io/library"
_BASE: Final = f"{_LIBRARY}/debian:bookworm-slim"
_PLAIN: Final = "localhost/plain:latest"
_GO: Final = "localhost/go:latest"
RAINBOW_IMAGE: Final = f"{_LIBRARY}/rainbow-scheduler:latest"
AGENT_IMAGE: Final = f"{_LIBRARY}/rainbow-minicluster:latest"
#: The same as a version that comes later, and its number.
NEXT_AGENT_IMAGE: Final = f"{_LIBRARY}/rainbow-minicluster:next"
NEXT_VERSION: Final = "99.0.0"
#: The agent on top of an image that has Flux itself.
OWN_FLUX_IMAGE: Final = f"{_LIBRARY}/rainbow-minicluster:flux"
_FLUX_BASE: Final = "localhost/flux:latest"
#: What the operator takes where no view is asked for; of it only a shell is used then.
_DEFAULT_VIEW: Final = "ghcr.io/converged-computing/flux-view-ubuntu:tag-noble"
FLUXION_VIEW_IMAGE: Final = "ghcr.io/converged-computing/flux-view-ubuntu:tag-jammy-fluxion"
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
_SPACK_VERSION: Final = "v0.23.1"
#: Packages come slowly at times.
_BUILD_LIMIT_S: Final = 3000.0

_GO_PROGRAM: Final = """\
#!/bin/sh
# In the place of Go: `go install` of the rainbow server is a copy of one that was built before.
cp /usr/local/bin/rainbow-scheduler "$GOBIN/server"
"""


class Podman:
    """Images in a store of their own."""

    def __init__(self) -> None:
        store = ["--root", str(CACHE / "podman"), "--runroot", str(CACHE / "podman-run")]
        self._command = [program("podman"), *store, "--cgroup-manager=cgroupfs"]
        self._command.append(f"--runtime={program('runc')}")

    def run(self, *arguments: str) -> str:
        """Run it; what it prints.

        Raises:
            AssertionError: it fails; the message has what it said last.
        """
        return _run([*self._command, *arguments])

    def image_id(self, tag: str) -> str:
        """Of an image; "" where there is no such image."""
        return self.run("images", "--quiet", "--no-trunc", tag).strip()

    def build(
        self,
        tag: str,
        context: Path,
        *,
        file: str = "Dockerfile",
        arguments: Mapping[str, str] | None = None,
        mounts: Mapping[Path, str] | None = None,
    ) -> None:
        """Build an image.

        Args:
            tag: its name.
            context: folder.
            file: the Dockerfile in it.
            arguments: of the Dockerfile.
            mounts: folders here, and where the build sees them.
        """
        options = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
        options += [f"--volume={here}:{there}:ro" for here, there in (mounts or {}).items()]
        self.run(
            *("build", "--network=host", "--format=docker", "--layers", f"--tag={tag}"),
            *(f"--file={context / file}", *options, str(context)),
        )

    def forget(self, step: str) -> None:
        """Have a step be run again where its command is the same: what it made goes.

        Args:
            step: is in its command.
        """
        # The newest first; one of several names is there several times.
        images = list(dict.fromkeys(self.run("images", "--all", "--quiet").split()))
        shown = "--format={{range .History}}{{.CreatedBy}} {{end}}"
        histories = self.run("image", "inspect", shown, *images).splitlines() if images else []
        for image, history in zip(images, histories, strict=True):
            if step in history:
                self.run("rmi", "--force", "--no-prune", image)


def make_images() -> Path:
    """All of them in one archive, which containerd imports."""
    podman, view = Podman(), View()
    _make_base(podman, view)
    _small(podman, PAUSE_IMAGE, "pause", f'FROM {_BASE}\nCMD ["sleep", "infinity"]\n')
    _make_rainbow(podman)
    views = _make_views(podman, view)
    _make_agents(podman)
    newer = f"sed -i 's/^__version__ = .*/__version__ = \"{NEXT_VERSION}\"/'"
    file = "/opt/rainbow-agent/lib/python3*/site-packages/rainbow_agent/__init__.py"
    _small(podman, NEXT_AGENT_IMAGE, "next", f"FROM {AGENT_IMAGE}\nRUN {newer} {file}\n")
    agents = [AGENT_IMAGE, NEXT_AGENT_IMAGE, OWN_FLUX_IMAGE]
    return _archive(podman, [PAUSE_IMAGE, RAINBOW_IMAGE, *agents, *views])


def _make_views(podman: Podman, view: View) -> list[str]:
    """The view of the manifests, one with Fluxion in it, and an image that has Flux itself."""
    image = _view_image()
    view.write(CACHE / "view")
    text = f"FROM {_BASE}\nCOPY software /opt/software\nCOPY view /opt/views/._view/flux\n"
    _small(podman, image, "view", text + "RUN ln -s /opt/views/._view/flux /opt/view\n")
    view.write_installation(CACHE / "flux/root")
    _small(podman, _FLUX_BASE, "flux", f"FROM {_PLAIN}\nCOPY root /\nRUN ldconfig\n")
    _small(podman, _DEFAULT_VIEW, "no-view", f"FROM {_BASE}\nRUN mkdir -p /opt/view/etc\n")
    if fluxion_environ() is None:
        return [image, _DEFAULT_VIEW]
    view.write_fluxion(CACHE / "fluxion/software")
    text = f"FROM {image}\nCOPY software /opt/software\n"
    _small(podman, FLUXION_VIEW_IMAGE, "fluxion", text)
    return [image, _DEFAULT_VIEW, FLUXION_VIEW_IMAGE]


def _make_base(podman: Podman, view: View) -> None:
    """A Debian that has the libraries of this machine's Flux, and links to where the view is."""
    packages = sorted({"ca-certificates", "python3", "python3-venv", *view.packages()})
    made = CACHE / f"base-{_digest(*packages)}.tar"
    if not made.exists():
        hook = f"copy-in {_CERTIFICATES} {Path(_CERTIFICATES).parent}"
        options = ["--mode=root", "--variant=minbase", f"--include={','.join(packages)}"]
        new = made.with_suffix(".new.tar")
        command = [program("mmdebstrap"), *options, f"--customize-hook={hook}", "bookworm"]
        _run([*command, str(new)])
        new.rename(made)
        podman.run("import", f"--change=ENV PIP_CERT={_CERTIFICATES}", str(made), _PLAIN)
    elif not podman.image_id(_PLAIN):
        podman.run("import", f"--change=ENV PIP_CERT={_CERTIFICATES}", str(made), _PLAIN)
    links = " && ".join(
        f"mkdir -p {Path(path).parent} && ln -s {target} {path}"
        for path, target in view.links().items()
    )
    view.write_libraries(CACHE / "base/libraries")
    text = f"FROM {_PLAIN}\nCOPY libraries /usr/local/lib/\nRUN ldconfig && {links}\n"
    _small(podman, _BASE, "base", text + 'CMD ["bash"]\n')


def _make_rainbow(podman: Podman) -> None:
    folder = _folder("go")
    shutil.copy2(program(REAL_PROGRAM), folder / REAL_PROGRAM)
    (folder / "go").write_text(_GO_PROGRAM)
    text = f"FROM {_BASE}\nCOPY --chmod=0755 go {REAL_PROGRAM} /usr/local/bin/\n"
    (folder / "Dockerfile").write_text(text)
    podman.build(_GO, folder)
    podman.build(
        RAINBOW_IMAGE,
        ROOT,
        file="docker/rainbow/Dockerfile",
        arguments={"GO_BASE": _GO, "GO_DIGEST": "", "BASE": _BASE, "BASE_DIGEST": ""},
    )


def _make_agents(podman: Podman) -> None:
    """On both bases; built again when what is in them changes."""
    repository = _spack_repository()
    content = _digest(repository.name, *_sources())
    bases = {AGENT_IMAGE: _BASE, OWN_FLUX_IMAGE: _FLUX_BASE}
    built = {
        tag: f"localhost/agent:{_digest(content, podman.image_id(base))}"
        for tag, base in bases.items()
    }
    if not all(podman.image_id(name) for name in built.values()):
        # Podman's cache knows a step by its command: it takes no notice of another wheel.
        podman.forget("install-agent.sh /dist/")
        for tag, base in bases.items():
            _make_agent(podman, built[tag], base, repository)
    for tag, name in built.items():
        podman.run("tag", name, tag)


def _make_agent(podman: Podman, tag: str, base: str, repository: Path) -> None:
    podman.build(
        tag,
        ROOT,
        file="docker/spack/Dockerfile",
        arguments={
            "BASE": base,
            "BASE_DIGEST": "",
            "SPACK_REPOSITORY": f"file:///{repository.name}",
            "SPACK_VERSION": _SPACK_VERSION,
        },
        mounts={repository: f"/{repository.name}"},
    )


def _sources() -> list[str]:
    """The texts of what the Dockerfile copies."""
    files = [ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "LICENSE"]
    files.append(ROOT / "distribution/hatch_build.py")
    for folder in ("agent", "compspec", "docker/spack", "systemd", "docs/monitoring", "crd"):
        files += sorted((ROOT / folder).rglob("*"))
    return [
        f"{path} {path.read_bytes().hex()}"
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    ]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _spack_repository() -> Path:
    """A repository with the stand-in that tests/minicluster has, tagged as a version of spack.

    It is named by what is in it: an image is built again when that changes.
    """
    stand_in = ROOT / "tests/minicluster/spack"
    files = {"bin/spack": stand_in / "spack", "share/spack/setup-env.sh": stand_in / "setup-env.sh"}
    folder = CACHE / f"spack-{_digest(*(path.read_text() for path in files.values()))}"
    if folder.exists():
        return folder
    new = _folder("spack.new")
    for name, path in files.items():
        (new / name).parent.mkdir(parents=True)
        shutil.copy2(path, new / name)
    (new / "bin/spack").chmod(0o755)
    git = ["git", "-C", str(new), "-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    _run([*git, "init", "--quiet"])
    _run([*git, "add", "--all"])
    _run([*git, "commit", "--quiet", "--message", "spack"])
    _run([*git, "tag", _SPACK_VERSION])
    new.rename(folder)
    return folder


def _view_image() -> str:
    """The name that the manifests have."""
    documents: list[Any] = list(
        yaml.safe_load_all((ROOT / "crd/minicluster-blue.yaml").read_text(encoding="utf-8"))
    )
    return str(documents[0]["spec"]["flux"]["container"]["image"])


def _archive(podman: Podman, tags: Sequence[str]) -> Path:
    made = CACHE / f"images-{_digest(*(podman.image_id(tag) for tag in tags))}.tar"
    if not made.exists():
        for old in CACHE.glob("images-*.tar"):
            old.unlink()
        new = made.with_suffix(".new")
        new.unlink(missing_ok=True)
        podman.run("save", "--multi-image-archive", f"--output={new}", *tags)
        new.rename(made)
    return made


def _small(podman: Podman, tag: str, name: str, text: str) -> None:
    folder = CACHE / name
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    podman.build(tag, folder)


def _folder(name: str) -> Path:
    folder = CACHE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD_LIMIT_S,
        check=False,
    )
    if done.returncode:
        said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        raise AssertionError(f"{' '.join(command)[:400]}: {said}")
    return done.stdout
