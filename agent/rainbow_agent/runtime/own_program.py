"""How a Python program of ours is started where a user's folder and environment are around it."""

from __future__ import annotations

import importlib.machinery
import os
import site
import sys
from functools import cache
from pathlib import Path

#: Runs a module with more folders on the module search path: PATHS MODULE ARGUMENTS...
_RUN_WITH_PATHS = (
    "import runpy, sys; sys.path += sys.argv.pop(1).split(':');"
    " runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def own_program(module: str, *arguments: str, python: str = sys.executable) -> tuple[str, ...]:
    """The command that runs a module of ours, isolated (python(1), `-I`).

    Neither the folder that it is started in nor PYTHON*, HOME or a user's own packages decide what
    it imports: a `json.py` beside a job's data is that job's and not ours. Where the agent itself
    is found only by such means (PYTHONPATH, `pip install --user`), the command carries them as
    they are now.

    Args:
        module: its name, as in `rainbow_agent.jobs.groups`.
        arguments: what it is given.
        python: the interpreter; it has the same path on every node.
    """
    if _is_found_isolated():
        return (python, "-I", "-m", module, *arguments)
    paths = ":".join(entry for entry in sys.path if entry)
    return (python, "-I", "-c", _RUN_WITH_PATHS, paths, module, *arguments)


@cache
def _is_found_isolated() -> bool:
    """Whether an isolated interpreter finds this package."""
    ignored = {*os.environ.get("PYTHONPATH", "").split(os.pathsep), site.USER_SITE, str(Path.cwd())}
    if not sys.flags.isolated:
        entries = [entry for entry in sys.path if entry and entry not in ignored]
    else:
        entries = sys.path
    top = __name__.partition(".")[0]
    return importlib.machinery.PathFinder.find_spec(top, entries) is not None
