"""Servers that make the program useful on a bare machine: a scheduler and a workload manager."""
