"""The program of the step `stage` under its name up to 0.1: jobs that wait in Flux start it."""

import runpy

if __name__ == "__main__":
    runpy.run_module("rainbow_agent.jobs.groups.stage", run_name="__main__")
