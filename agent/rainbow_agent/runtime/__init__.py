"""What every process of the agent stands on: settings, logs, stop signal, clock, loop health.

Nothing here knows what a job, a cluster or a scheduler is beyond the values in core.
"""
