-- The ledger, version 70: who sent a job may ask about it.

-- What stands in the jobspec of a job that has a handle (jobspec/handle.py).
CREATE TABLE handle (
    job INTEGER PRIMARY KEY REFERENCES job (seq),
    id TEXT NOT NULL UNIQUE, -- rb-...
    inbox TEXT NOT NULL,
    token TEXT NOT NULL, -- submits to it
    verify BLOB NOT NULL, -- the sender's public keys
    seal BLOB NOT NULL,
    nonce BLOB NOT NULL,
    keep INTEGER NOT NULL, -- seconds after the job's end
    turn INTEGER NOT NULL DEFAULT 0 -- of the last state that was told: the sender takes no older one
);

-- The last state that the sender was told; '' before the first; NULL: the job has no handle.
ALTER TABLE job ADD COLUMN told TEXT;
CREATE INDEX job_untold ON job (seq) WHERE told IS NOT NULL AND told <> state;
