-- The ledger, version 65: keys of jobs that run once, however often they are sent.

CREATE TABLE once (
    number INTEGER PRIMARY KEY, -- in the order in which they came
    key BLOB NOT NULL UNIQUE, -- a digest of the cluster's name and the key
    registration INTEGER NOT NULL, -- registration.number
    id INTEGER NOT NULL -- of the job that has it, whose details may be removed
);
