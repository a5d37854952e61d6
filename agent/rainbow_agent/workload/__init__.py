"""The workload managers: Flux, and a local one for machines without it.

Nothing here knows rainbow or the ledger; whoever wants a job submitted hands over a Flux jobspec.
"""
