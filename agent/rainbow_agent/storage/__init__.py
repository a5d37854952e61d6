"""The state folder, its lock and the ledger in sqlite.

sqlite3 is imported here and in the embedded scheduler, nowhere else; nothing here talks to rainbow
or to a workload manager.
"""
