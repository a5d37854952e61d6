"""The group's program under its name up to 0.1: group jobs that wait in Flux start it."""

import runpy

if __name__ == "__main__":
    runpy.run_module("rainbow_agent.jobs.groups", run_name="__main__")
