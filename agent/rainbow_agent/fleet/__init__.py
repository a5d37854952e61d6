"""This cluster in rainbow: registration, ownership, graph publisher, intake, reporter.

Nothing here submits to a workload manager.
"""
