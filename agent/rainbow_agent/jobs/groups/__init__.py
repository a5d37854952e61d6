"""The program of a group: a nested instance that runs the same plan one level down.

Nothing here opens the ledger or talks to rainbow.
"""
