-- The ledger, version 71: what the senders of jobs ask is written down before it is let go of in
-- rainbow.

ALTER TABLE handle ADD COLUMN counter INTEGER NOT NULL DEFAULT 0; -- of the last thing that was asked

-- Not looked into yet. Its job may come later than the question.
CREATE TABLE asked (
    seq INTEGER PRIMARY KEY,
    handle TEXT NOT NULL,
    inbox TEXT NOT NULL, -- that it says it is from
    body BLOB NOT NULL,
    proof BLOB NOT NULL,
    at REAL NOT NULL
);
CREATE UNIQUE INDEX asked_once ON asked (handle, proof);
