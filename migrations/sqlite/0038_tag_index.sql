-- The tag index: events of the kinds that somebody reads by tag are found by their tags. A trigger indexes what is inserted; it is made with the first guard, so that a
-- file without guards has none.

-- The kinds of events that are indexed. A guard is put first; then the history is indexed that was stored without it, in pieces. A guard is complete where
-- `indexed` has come to `through`. It stays.
CREATE TABLE tag_guards (
    namespace      TEXT    NOT NULL,
    decider        TEXT    NOT NULL,
    event          TEXT    NOT NULL,
    is_conditional INTEGER NOT NULL DEFAULT 0 CHECK (is_conditional IN (0, 1)), -- whether what is appended may depend on there being no such event
    through        INTEGER NOT NULL,           -- the last offset when the guard was put
    indexed        INTEGER NOT NULL DEFAULT 0, -- the offset up to which history is indexed
    PRIMARY KEY (namespace, decider, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_tags (
    namespace TEXT    NOT NULL,
    tag       TEXT    NOT NULL,
    "offset"  INTEGER NOT NULL,
    decider   TEXT    NOT NULL,
    event     TEXT    NOT NULL,
    PRIMARY KEY (namespace, tag, "offset")
) STRICT, WITHOUT ROWID;
