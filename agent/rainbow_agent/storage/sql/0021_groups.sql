-- (Numbers are in the order in which they came: a ledger of version 20 has no groups yet.)
-- Groups: tasks that run inside another one. The job's state follows from its top level alone.

ALTER TABLE task ADD COLUMN kind TEXT NOT NULL DEFAULT 'job'; -- model.TaskKind
ALTER TABLE task ADD COLUMN parent INTEGER REFERENCES task (seq); -- the group that it is in
CREATE INDEX task_by_parent ON task (parent) WHERE parent IS NOT NULL;

ALTER TABLE replica ADD COLUMN in_group INTEGER NOT NULL DEFAULT 0; -- 1: its task has a parent
DROP INDEX replica_by_state;
CREATE INDEX replica_by_state ON replica (state, in_group, job);
