-- States of streams, so that a long stream need not be folded from its start. Disposable: deleting any of them changes no answer.
CREATE TABLE snapshots (
    namespace  TEXT COLLATE "C" NOT NULL,
    decider    TEXT COLLATE "C" NOT NULL,
    decider_id TEXT COLLATE "C" NOT NULL,
    -- The digest of the module that folded it; no other reads it.
    module     TEXT COLLATE "C" NOT NULL,
    -- The version of the last event that was folded.
    version    BIGINT           NOT NULL,
    -- JSON. TEXT, since a state that is none must not fail what reads it.
    state      TEXT             NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT snapshots_pkey PRIMARY KEY (namespace, decider, decider_id, module),
    CONSTRAINT snapshots_version_check CHECK (version >= 1)
);
