"""One topic a file, each reading the machine through one door (host.py)."""
