-- The ledger, version 51: how many jobs are in each state is kept, not counted: what a look costs
-- does not grow with how many there are.

CREATE TABLE tally (
    state TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO tally (state, jobs) SELECT state, count(*) FROM job GROUP BY state;

CREATE TRIGGER job_comes AFTER INSERT ON job BEGIN
    INSERT INTO tally (state, jobs) VALUES (NEW.state, 1)
    ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER job_goes AFTER DELETE ON job BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE state = OLD.state;
END;
CREATE TRIGGER job_moves AFTER UPDATE OF state ON job WHEN OLD.state <> NEW.state BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE state = OLD.state;
    INSERT INTO tally (state, jobs) VALUES (NEW.state, 1)
    ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
END;
