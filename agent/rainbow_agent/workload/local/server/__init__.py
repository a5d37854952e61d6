"""The local workload manager: runs jobs as processes on one machine, with Flux's semantics.

A server process of its own (`python -m rainbow_agent.workload.local.server --dir DIR`), so that
jobs outlive the agent as they do under Flux. It keeps DIR, a private folder:

    workload.sock   where clients connect (protocol.py)
    journal.jsonl   every event, on disk before a client sees it (journal_log.py)
    server.lock     flock held while a server lives; its text says which
    server.log      what the server has to say
    output/         ID.out and ID.err of every job
    output/ID.events  what the runner of a group reported of the tasks in it
    nest/ID/        the folder of the server inside a group, while that runs
    tmp/ID/         files that a job brought along (attributes.system.files), while it runs

How the parts meet: connection.py (lines in and out) -> server.py (the glue: one turn writes the
journal, answers, starts what can start) -> job_table.py (the rules, no I/O) and processes.py
(the operating system). recovery.py reads the journal back after a crash. client.py and launch.py
are the other end, used by workload/local/workload.py.
"""
