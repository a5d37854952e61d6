"""From the ledger to the workload manager and back: dispatcher, journal, tracker, cancel, groups.

Nothing here talks to rainbow.
"""
