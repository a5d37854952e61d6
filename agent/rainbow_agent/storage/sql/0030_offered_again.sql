-- The ledger, version 30: a job can be offered again under another registration.

-- The registration that offers the job's row now, where it is not the one that the job came with:
-- rainbow's operator removed the cluster's row and left those of its jobs.
ALTER TABLE job ADD COLUMN offered_by TEXT REFERENCES registration (id);

DROP INDEX job_unaccepted;
CREATE INDEX job_unaccepted ON job (coalesce(offered_by, registration), id) WHERE accepted IS NULL;
