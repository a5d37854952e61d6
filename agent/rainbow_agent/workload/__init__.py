"""The workload managers: Flux, and a local one for machines without it.

Nothing here knows rainbow or the ledger: what comes in are Flux jobspecs.
"""
