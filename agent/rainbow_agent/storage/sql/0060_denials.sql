-- The ledger, version 60: a scheduler may deny a job because too few nodes are up. The task is
-- submitted again when they are.

-- One job of the workload manager that counts no longer, since its task is pending again.
CREATE TABLE denial (
    task INTEGER NOT NULL REFERENCES task (seq),
    replica INTEGER NOT NULL,
    flux_id INTEGER NOT NULL,
    at REAL NOT NULL,
    own INTEGER NOT NULL, -- 1: the scheduler denied it; 0: it depended on one that was denied
    cause TEXT NOT NULL, -- in the workload manager's words
    fits INTEGER, -- on the nodes that were up then: 1: yes; 0: no, it waited; NULL: not looked yet
    waits_for TEXT, -- the nodes that have to come up first; NULL: none, or not looked yet
    PRIMARY KEY (task, replica, flux_id)
) WITHOUT ROWID;
