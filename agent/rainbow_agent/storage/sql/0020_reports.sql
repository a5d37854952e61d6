-- What rainbow was told, and what people asked for.

-- Reports to rainbow, in order. Those that end alike and tell nothing new share a row, so that an
-- idle year is not a million of them.
CREATE TABLE report (
    seq INTEGER PRIMARY KEY,
    at REAL NOT NULL, -- of the first
    last REAL NOT NULL, -- of the last
    times INTEGER NOT NULL DEFAULT 1,
    problem TEXT -- why rainbow did not take it; NULL: it did
);

-- Which state of a job a report was the first to tell. Only of reports that rainbow took.
CREATE TABLE told (
    job INTEGER NOT NULL REFERENCES job (seq),
    report INTEGER NOT NULL REFERENCES report (seq),
    at REAL NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (job, report)
) WITHOUT ROWID;

-- Who asked for the end of a job. The daemon carries it out; what is left when it is down, the
-- next one does.
CREATE TABLE cancellation (
    job INTEGER PRIMARY KEY REFERENCES job (seq),
    at REAL NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    done REAL -- when the job was over; NULL: it is not yet
);
CREATE INDEX cancellation_open ON cancellation (job) WHERE done IS NULL;
CREATE INDEX job_ended_badly ON job (finished) WHERE state IN ('failed', 'refused', 'lost');
