-- Events, and the ledger of commands.
-- The columns of `events` are those of fstore-sql, with its names and meanings, then our own.

CREATE TABLE events (
    event         TEXT    NOT NULL,
    event_id      BLOB    NOT NULL UNIQUE CHECK (length(event_id) = 16),
    event_version INTEGER NOT NULL DEFAULT 1, -- of the event's schema
    decider       TEXT    NOT NULL,
    decider_id    TEXT    NOT NULL,
    command_id    BLOB    NOT NULL CHECK (length(command_id) = 16),
    previous_id   BLOB,                       -- NULL for the first event of a stream; unique by the trigger below
    final         INTEGER NOT NULL DEFAULT 0 CHECK (final IN (0, 1)),
    created_at    INTEGER NOT NULL,
    "offset"      INTEGER NOT NULL PRIMARY KEY, -- never used again, for no event is deleted
    namespace     TEXT    NOT NULL DEFAULT 'default',
    version       INTEGER NOT NULL CHECK (version > 0),
    tags          TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    metadata      TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    data          TEXT    NOT NULL CHECK (json_valid(data)), -- last, so that the columns above are read without it
    UNIQUE (namespace, decider, decider_id, version),
    FOREIGN KEY (decider, event, event_version) REFERENCES deciders (decider, event, event_version)
) STRICT;

-- The log of one namespace; the rowid, which is "offset", is the last column of every index.
CREATE INDEX events_namespace ON events (namespace);

-- The newest event of each stream. To find that of one stream, take the last of its versions in the index above: one step, however long it is.
CREATE VIEW stream_heads AS
SELECT namespace, decider, decider_id, max(version) AS version, event_id AS last_event_id, final, created_at AS updated_at
FROM events GROUP BY namespace, decider, decider_id;

-- The rules of a stream, for whatever writes to it. The host has checked them before; it never sees these errors.
CREATE TRIGGER events_follow_their_stream BEFORE INSERT ON events
BEGIN
    SELECT CASE
        WHEN head.final THEN RAISE(ABORT, 'the stream is final')
        WHEN NEW.version <> coalesce(head.version, 0) + 1 THEN RAISE(ABORT, 'the version is not the next of the stream')
        WHEN NEW.previous_id IS NOT head.event_id THEN RAISE(ABORT, 'previous_id is not the newest event of the stream')
        WHEN NEW.created_at < head.created_at THEN RAISE(ABORT, 'created_at is before the newest event of the stream')
    END
    FROM (SELECT 1) LEFT JOIN (
        SELECT version, event_id, final, created_at FROM events
        WHERE namespace = NEW.namespace AND decider = NEW.decider AND decider_id = NEW.decider_id
        ORDER BY version DESC LIMIT 1
    ) AS head;
    -- INSERT OR REPLACE would delete the older row without asking the trigger on DELETE.
    SELECT RAISE(ABORT, 'events are immutable')
    WHERE EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
        OR EXISTS (SELECT 1 FROM events WHERE "offset" = NEW."offset");
END;

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are immutable');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are immutable');
END;

-- The ledger: every command and its outcome.
CREATE TABLE commands (
    namespace         TEXT    NOT NULL,
    command_id        BLOB    NOT NULL CHECK (length(command_id) = 16),
    decider           TEXT    NOT NULL,
    decider_id        TEXT    NOT NULL,
    command           TEXT    NOT NULL,
    data              TEXT,             -- NULL where the ledger keeps keys only: such a command cannot be decided again
    fingerprint       BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    now               INTEGER NOT NULL, -- the time that the decider saw
    seed              INTEGER NOT NULL,
    actor             TEXT,
    metadata          TEXT    NOT NULL,
    version           INTEGER NOT NULL, -- that was decided at
    module            TEXT    NOT NULL,
    outcome           TEXT    NOT NULL CHECK (outcome IN ('accepted', 'rejected')),
    events            INTEGER NOT NULL DEFAULT 0,
    rejection_code    TEXT,
    rejection_message TEXT,
    rejection_data    TEXT,
    fuel              INTEGER NOT NULL,
    PRIMARY KEY (namespace, command_id),
    CHECK ((outcome = 'rejected') = (rejection_code IS NOT NULL AND rejection_message IS NOT NULL)),
    CHECK (outcome = 'accepted' OR events = 0)
) STRICT;

-- The commands that have left no event, in the order of their streams. The others are found by way of their events, and cost nothing here.
CREATE INDEX commands_eventless ON commands (namespace, decider, decider_id, version, command_id) WHERE events = 0;
