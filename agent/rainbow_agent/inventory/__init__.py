"""What the nodes are: watcher, survey, extractors.

Nothing here talks to rainbow; it leaves a cluster description for fleet to publish.
"""
