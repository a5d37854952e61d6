-- The ledger, version 73: jobs found in the workload manager are distinguished by their rows.

-- Of a job without a row in offer: the digest of its row, as its tasks in the workload manager have
-- it; NULL: they are from before, or the job has a row there.
ALTER TABLE job ADD COLUMN found_row BLOB;
