"""What the agents of a fleet tell the one who sent a job, and what that one asks of them.

Messages are rows in rainbow's lists of jobs (docs/decisions/0120): an agent sends them to the
sender's inbox, a cluster that runs nothing; the sender sends them to the cluster that has the job.
"""
