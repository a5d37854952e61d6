"""The client of the local workload manager.

The server is in server/; the two share its protocol and nothing else.
"""
