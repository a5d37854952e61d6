"""Values, states, errors and ports; pure.

Nothing here does I/O, and nothing here imports another folder of the agent.
"""
