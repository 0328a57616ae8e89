-- Rehearsals: runs of the gate, and how far each has come.

CREATE TABLE rehearsals (
    namespace TEXT COLLATE "C" NOT NULL,
    -- Those made later sort higher.
    id        UUID             NOT NULL,
    decider   TEXT COLLATE "C" NOT NULL,
    -- Of the candidate.
    digest    TEXT COLLATE "C" NOT NULL,
    is_over   BOOLEAN          NOT NULL,
    -- When the host that works on it was last known to be alive.
    seen_at   TIMESTAMPTZ      NOT NULL,
    -- JSON rather than JSONB: the host gets back the bytes that it stored.
    document  JSON             NOT NULL,
    CONSTRAINT rehearsals_pkey PRIMARY KEY (namespace, id)
);

CREATE INDEX rehearsals_decider_idx ON rehearsals (namespace, decider, id);

-- What somebody has to work on still.
CREATE INDEX rehearsals_unfinished_idx ON rehearsals (id) WHERE NOT is_over;
