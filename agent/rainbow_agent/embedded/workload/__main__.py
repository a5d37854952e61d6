"""The local workload manager under its name up to 0.1, kept a release."""

import runpy

if __name__ == "__main__":
    runpy.run_module("rainbow_agent.workload.local.server", run_name="__main__")
