-- The ledger, version 1. Times are epoch seconds. Names of states are those of model.py, which
-- also has the moves between them: no second table of either here. (A CHECK of the names would
-- make an update of a state take 1.6 times as long, measured.)

PRAGMA application_id = 0x524E4257; -- "RNBW"

-- The life of one cluster secret.
CREATE TABLE registration (
    id TEXT PRIMARY KEY,
    cluster TEXT NOT NULL,
    host TEXT NOT NULL,
    opened REAL NOT NULL,
    closed REAL,
    turn INTEGER NOT NULL UNIQUE -- grows by one with each opening; the current one has the highest
) WITHOUT ROWID;

-- What became of one job that rainbow handed over.
CREATE TABLE job (
    seq INTEGER PRIMARY KEY, -- in order of arrival
    registration TEXT NOT NULL REFERENCES registration (id),
    id INTEGER NOT NULL, -- rainbow's
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    received REAL NOT NULL,
    accepted REAL,
    finished REAL,
    started INTEGER NOT NULL DEFAULT 0, -- 1: a task of it started, whatever became of that task
    unsatisfiable INTEGER NOT NULL DEFAULT 0, -- 1: a task of it can never run here
    UNIQUE (id, registration)
);
CREATE INDEX job_by_time ON job (received, seq);
CREATE INDEX job_by_state ON job (state, received, seq);
CREATE INDEX job_unaccepted ON job (registration, id) WHERE accepted IS NULL;

-- What rainbow sent, word for word; apart from the job, so that lists of jobs stay quick.
CREATE TABLE offer (
    job INTEGER PRIMARY KEY REFERENCES job (seq),
    cluster TEXT NOT NULL,
    jobspec TEXT NOT NULL
);

-- One task of a job's plan.
CREATE TABLE task (
    seq INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (seq),
    position INTEGER NOT NULL, -- in the plan's order, from 0
    name TEXT NOT NULL,
    depends_on TEXT NOT NULL, -- a JSON list of names
    UNIQUE (job, name)
);

-- One copy of one task. `job` repeats the task's, for the index.
CREATE TABLE replica (
    task INTEGER NOT NULL REFERENCES task (seq),
    replica INTEGER NOT NULL, -- from 0
    job INTEGER NOT NULL REFERENCES job (seq),
    state TEXT NOT NULL,
    flux_id INTEGER,
    exit_code INTEGER,
    reason TEXT,
    submitted REAL,
    started REAL,
    finished REAL,
    PRIMARY KEY (task, replica)
) WITHOUT ROWID;
CREATE INDEX replica_by_state ON replica (state, job);

-- Everything that happened, in the order in which it was learned.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (seq),
    task INTEGER REFERENCES task (seq), -- NULL: about the job itself
    replica INTEGER, -- NULL: about all of them
    at REAL NOT NULL,
    was TEXT,
    now TEXT NOT NULL,
    cause TEXT NOT NULL
);
CREATE INDEX event_by_job ON event (job, seq);

-- Small facts for status, each a JSON value.
CREATE TABLE note (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
