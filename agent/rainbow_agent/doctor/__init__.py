"""`rainbow-agent doctor`: the chain from the settings to a job that runs, link by link."""
