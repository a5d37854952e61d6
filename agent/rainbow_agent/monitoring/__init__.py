"""How the cluster does: status, explain, health, metrics; all of it read-only.

Nothing here changes a job or writes the ledger.
"""
