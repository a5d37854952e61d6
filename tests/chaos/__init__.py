"""Storms over a whole cluster: `python -m chaos`, which `make test-chaos` runs.

Jobs are sent without pause while what handles them is killed, put back to an older copy or
halted; afterwards the files that the tasks wrote say whether each accepted job ran exactly once.
"""
