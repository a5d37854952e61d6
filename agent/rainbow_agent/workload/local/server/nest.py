"""A server inside a job: what `flux broker` is under Flux.

A job whose command is `flux broker COMMAND` runs COMMAND. Its environment says where a server of
its own may have its folder, how many cores that one has to give, and which file takes its reports
of the jobs in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: In the server's folder: those of the servers inside its jobs.
NEST = "nest"
_FOLDER, _CORES, _EVENTS = "RAINBOW_NEST_DIR", "RAINBOW_NEST_CORES", "RAINBOW_NEST_EVENTS"


@dataclass(frozen=True)
class Nest:
    """A server inside a job."""

    folder: Path
    cores: int
    events: Path  # news of the jobs in it, for those that follow the job from outside

    @classmethod
    def of(cls, folder: Path, job_id: int, cores: int) -> Nest:
        """That of a job of the server in `folder`."""
        return cls(folder / NEST / str(job_id), cores, events_file(folder, job_id))

    def to_environment(self) -> dict[str, str]:
        """As variables of the job."""
        return {
            _FOLDER: str(self.folder),
            _CORES: str(self.cores),
            _EVENTS: str(self.events),
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Nest | None:
        """As a job finds it; None where it is in no server of this kind."""
        folder = environ.get(_FOLDER)
        if not folder:
            return None
        return cls(Path(folder), int(environ[_CORES]), Path(environ[_EVENTS]))


def events_file(folder: Path, job_id: int) -> Path:
    """Where a job of the server in `folder` tells what is inside it."""
    return folder / "output" / f"{job_id}.events"
