"""Tables of the orchestrator's database; a change is a further entry of `MIGRATIONS`, never an edit."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.lib.database import Migration

# What changes often is in columns and small; the spec, which may hold megabytes of inline inputs, is written once
# per version. Wire models are stored as the JSON that goes over the wire.
_V1 = """
CREATE TABLE jobs (
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    priority INTEGER NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    state BLOB NOT NULL,           -- JobState
    active INTEGER NOT NULL,       -- 1 until the job is over
    labels BLOB,                   -- labels alone, so that a filter need not read specs; NULL when there are none
    create_time INTEGER NOT NULL,
    modify_time INTEGER NOT NULL,
    submit_time INTEGER NOT NULL,  -- when the current version was submitted
    UNIQUE (namespace, name)
);
CREATE INDEX jobs_created ON jobs (create_time, id);
CREATE INDEX jobs_modified ON jobs (modify_time, id);
CREATE INDEX jobs_active ON jobs (id) WHERE active;

CREATE TABLE job_versions (
    job_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    spec BLOB NOT NULL,            -- Job
    state BLOB,                    -- how the version ended, once it is replaced
    revision INTEGER,
    modify_time INTEGER,
    PRIMARY KEY (job_id, version)
);

CREATE TABLE executions (
    id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL,
    job_version INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    live INTEGER NOT NULL,
    cpu REAL NOT NULL,
    memory INTEGER NOT NULL,
    disk INTEGER NOT NULL,
    gpu INTEGER NOT NULL,
    body BLOB NOT NULL             -- Execution without its job
);
CREATE INDEX executions_job ON executions (job_id, job_version);
CREATE INDEX executions_live ON executions (node_id, cpu, memory, disk, gpu, job_id) WHERE live;

CREATE TABLE history (
    seq INTEGER PRIMARY KEY,       -- over all jobs: the event stream's position
    job_id TEXT NOT NULL,
    job_seq INTEGER NOT NULL,      -- from 1 in each job
    job_version INTEGER NOT NULL,
    execution_id TEXT NOT NULL,    -- empty: about the job
    node_id TEXT NOT NULL,
    state TEXT NOT NULL,           -- the job's state after the event
    time INTEGER NOT NULL,
    event BLOB NOT NULL            -- Event
);
CREATE UNIQUE INDEX history_job ON history (job_id, job_seq);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    state BLOB NOT NULL            -- NodeState
);

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    kind TEXT NOT NULL,            -- message type name
    events BLOB NOT NULL,
    time INTEGER NOT NULL
);
"""

# Not in the spec: who submits it could write anything there.
_V2 = """
ALTER TABLE jobs ADD COLUMN principal TEXT NOT NULL DEFAULT '';  -- who submitted the current version
"""

# A node of ours proves by its secret that it is the one that had its ID first.
_V3 = """
CREATE TABLE identities (
    node_id TEXT NOT NULL PRIMARY KEY,
    secret_hash TEXT NOT NULL
);
"""

MIGRATIONS: Sequence[Migration] = (_V1, _V2, _V3)
"""Schema steps in order."""
