-- Rehearsals: runs of the gate, and how far each has come.

CREATE TABLE rehearsals (
    namespace TEXT    NOT NULL,
    id        BLOB    NOT NULL CHECK (length(id) = 16), -- those made later sort higher
    decider   TEXT    NOT NULL,
    digest    TEXT    NOT NULL,                         -- of the candidate
    is_over   INTEGER NOT NULL CHECK (is_over IN (0, 1)),
    seen_at   INTEGER NOT NULL,                         -- when the host that works on it was last known to be alive
    document  TEXT    NOT NULL CHECK (json_valid(document)),
    PRIMARY KEY (namespace, id)
) STRICT;

CREATE INDEX rehearsals_decider ON rehearsals (namespace, decider, id);

-- What somebody has to work on still.
CREATE INDEX rehearsals_unfinished ON rehearsals (id) WHERE is_over = 0;
