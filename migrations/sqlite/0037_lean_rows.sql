-- Nothing is stored that can be found again, and one trigger judges an event where three did.

-- The activation of the decider, in the namespace, whose module has decided. The metadata of such an event lacks `module`, which is the digest of that
-- activation, and `correlation_id` and `causation_id` where they are the command's id. The module of such a command is the same digest.
ALTER TABLE commands ADD COLUMN activation INTEGER CHECK ((activation IS NULL) = (module IS NOT NULL));

ALTER TABLE events ADD COLUMN activation INTEGER;

-- A command without metadata has NULL. The bounds of "offset" are a constraint, for before the row is there, -1 stands for the one that the database
-- gives. Changed as SQLite's documentation of ALTER TABLE says: this touches no row, however many there are, and what is there stays as it is.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(replace(sql,
    'metadata          TEXT    NOT NULL', 'metadata          TEXT'),
    'module            TEXT    NOT NULL', 'module            TEXT')
WHERE type = 'table' AND name = 'commands';
UPDATE sqlite_schema
SET sql = replace(sql, '"offset"      INTEGER NOT NULL PRIMARY KEY', '"offset"      INTEGER NOT NULL PRIMARY KEY CHECK ("offset" BETWEEN 1 AND 4611686018427387903)')
WHERE type = 'table' AND name = 'events';
PRAGMA writable_schema = RESET;

DROP TRIGGER events_follow_their_stream;
DROP TRIGGER events_are_bounded;
DROP TRIGGER events_are_added_at_the_end;

-- The rules of a stream, for whatever writes to it, the host included, and what other programs write within what readers understand. The newest event
-- of a stream is found in two steps of an index. The names of a stream are looked at once, with its first event; of text with U+0000, SQLite's
-- functions see the part before it. INSERT OR REPLACE would delete the older row without asking the trigger on DELETE.
CREATE TRIGGER events_follow_their_stream BEFORE INSERT ON events
BEGIN
    SELECT CASE
        WHEN coalesce((
            SELECT CASE
                WHEN head.final THEN RAISE(ABORT, 'the stream is final')
                WHEN NEW.version <> head.version + 1 THEN RAISE(ABORT, 'the version is not the next of the stream')
                WHEN NEW.previous_id IS NOT head.event_id THEN RAISE(ABORT, 'previous_id is not the newest event of the stream')
                WHEN NEW.created_at < head.created_at THEN RAISE(ABORT, 'created_at is before the newest event of the stream')
                ELSE FALSE
            END
            FROM events AS head
            WHERE namespace = NEW.namespace AND decider = NEW.decider AND decider_id = NEW.decider_id
            ORDER BY version DESC LIMIT 1
        ), NEW.version <> 1)
            THEN RAISE(ABORT, 'the version is not the next of the stream')
        WHEN NEW.version = 1 AND NEW.previous_id IS NOT NULL
            THEN RAISE(ABORT, 'previous_id is not the newest event of the stream')
        WHEN NEW."offset" <= (SELECT max("offset") FROM events) AND NEW."offset" <> -1
            THEN CASE
                WHEN EXISTS (SELECT 1 FROM events WHERE "offset" = NEW."offset") THEN RAISE(ABORT, 'events are immutable')
                ELSE RAISE(ABORT, '"offset" is up to the database')
            END
        WHEN NEW.event_id <= (SELECT max(event_id) FROM events) AND EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
            THEN RAISE(ABORT, 'events are immutable')
        WHEN NEW.created_at NOT BETWEEN -62135596800000 AND 253402300799999
            THEN RAISE(ABORT, 'created_at is not within the years 1 to 9999')
        WHEN NEW.version = 1 AND (
            length(NEW.namespace) NOT BETWEEN 1 AND 63
            OR NEW.namespace NOT GLOB '[a-z0-9]*'
            OR NEW.namespace GLOB '*[^-a-z0-9]*'
            OR length(NEW.decider) NOT BETWEEN 1 AND 128
            OR NEW.decider NOT GLOB '[A-Za-z]*'
            OR NEW.decider GLOB '*[^-A-Za-z0-9_]*'
            OR length(CAST(NEW.decider_id AS BLOB)) NOT BETWEEN 1 AND 255
            OR NEW.decider_id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            OR instr(NEW.namespace || NEW.decider || NEW.decider_id, char(0)) > 0
            OR NEW.decider_id IN ('activations', 'deactivations', 'logs', 'openapi.json', 'rehearsals', 'rollback', 'streams')
        )
            THEN RAISE(ABORT, 'namespace, decider and decider_id do not name a stream')
    END;
END;

PRAGMA user_version = 37;
