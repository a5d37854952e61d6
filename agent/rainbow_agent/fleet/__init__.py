"""This cluster in rainbow: registration, ownership, graph publisher, inbox, reporter.

Nothing here submits to a workload manager.
"""
