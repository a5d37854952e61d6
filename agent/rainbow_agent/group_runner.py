"""The group's program under its name up to 0.1: group jobs that wait in Flux start it."""

import os
import sys

if __name__ == "__main__":
    sys.path.remove(sys.path[0])  # the job's folder, which may hold a functools.py
    from rainbow_agent.runtime.own_program import own_program

    os.execv(sys.executable, own_program("rainbow_agent.jobs.groups", *sys.argv[1:]))  # noqa: S606 - no shell on purpose
