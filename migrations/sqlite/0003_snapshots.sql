-- States of streams, so that a long stream need not be folded from its start. Disposable: deleting any of them changes no answer.

CREATE TABLE snapshots (
    namespace  TEXT    NOT NULL,
    decider    TEXT    NOT NULL,
    decider_id TEXT    NOT NULL,
    module     TEXT    NOT NULL, -- the digest of the module that folded it; no other reads it
    version    INTEGER NOT NULL CHECK (version > 0), -- of the last event that was folded
    state      TEXT    NOT NULL, -- JSON, unchecked: a state that is none must not fail what reads it
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, decider, decider_id, module)
) STRICT;
