"""Flux through its own bindings.

The only folder that imports flux or _flux; what Flux says is turned into the agent's values and
errors here.
"""
