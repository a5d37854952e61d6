-- The ledger, version 50: rows of rainbow are distinguished by all that they say, and details of old
-- jobs can be removed.

-- Of all that rainbow's row says (ledger_rows_seen.py); NULL: from before.
ALTER TABLE offer ADD COLUMN digest BLOB;

-- A short name for a registration, which never changes.
ALTER TABLE registration ADD COLUMN number INTEGER;
UPDATE registration SET number = turn;
CREATE UNIQUE INDEX registration_number ON registration (number);

-- What stays of a job whose details were removed, in a few bytes: rainbow or the workload manager
-- may offer it again, when they were put back to an older copy.
CREATE TABLE removed (
    registration INTEGER NOT NULL, -- number; where another registration offered it too, twice
    id INTEGER NOT NULL, -- rainbow's
    digest BLOB NOT NULL, -- as in offer; empty: of a job whose row never came
    PRIMARY KEY (registration, id, digest)
) WITHOUT ROWID;

-- The last state that rainbow was told, so that what it was not told is found at once.
ALTER TABLE job ADD COLUMN reported TEXT;
UPDATE job SET reported = (
    SELECT state FROM told WHERE told.job = job.seq ORDER BY report DESC LIMIT 1
);
CREATE INDEX job_unreported ON job (seq) WHERE state IS NOT reported;
-- The jobs that may be removed, in the order in which they are.
CREATE INDEX job_removable ON job (finished, seq)
    WHERE finished IS NOT NULL AND accepted IS NOT NULL;
