-- The ledger, version 72: what senders asked and wait for an answer to.

CREATE TABLE request (
    seq INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (seq),
    counter INTEGER NOT NULL, -- the question's, by which the sender knows its answer
    content TEXT NOT NULL -- what is asked, a JSON object
);
CREATE INDEX request_by_job ON request (job);
