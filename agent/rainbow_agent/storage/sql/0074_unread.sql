-- The ledger, version 74: rows in inboxes of which it is not known whether they were taken.

CREATE TABLE unread (
    seq INTEGER PRIMARY KEY,
    inbox TEXT NOT NULL,
    verify BLOB NOT NULL, -- the sender's public key: others may have named the same inbox
    turn INTEGER NOT NULL, -- the last in it
    size INTEGER NOT NULL, -- bytes of bodies
    at REAL NOT NULL
);
