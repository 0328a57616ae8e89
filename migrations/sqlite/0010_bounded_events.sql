-- What other programs write, within what readers understand. As triggers, for a table that is there takes no further constraints; rows that are
-- there already stay as they are.

-- The names of a stream are looked at once, with its first event, as on PostgreSQL. Of text with U+0000, SQLite's functions see the part before it.
CREATE TRIGGER events_are_bounded BEFORE INSERT ON events
BEGIN
    SELECT RAISE(ABORT, 'created_at is not within the years 1 to 9999')
    WHERE NEW.created_at NOT BETWEEN -62135596800000 AND 253402300799999;
    SELECT RAISE(ABORT, 'namespace, decider and decider_id do not name a stream')
    WHERE NEW.version = 1 AND (
        length(NEW.namespace) NOT BETWEEN 1 AND 63
        OR NEW.namespace NOT GLOB '[a-z0-9]*'
        OR NEW.namespace GLOB '*[^-a-z0-9]*'
        OR length(NEW.decider) NOT BETWEEN 1 AND 128
        OR NEW.decider NOT GLOB '[A-Za-z]*'
        OR NEW.decider GLOB '*[^-A-Za-z0-9_]*'
        OR length(CAST(NEW.decider_id AS BLOB)) NOT BETWEEN 1 AND 255
        OR NEW.decider_id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        OR instr(NEW.namespace || NEW.decider || NEW.decider_id, char(0)) > 0
        OR NEW.decider_id IN ('activations', 'openapi.json', 'rehearsals', 'rollback', 'streams')
    );
END;

-- After the row is there, for before that an "offset" which the database gives is not known. Readers go on from the greatest one.
CREATE TRIGGER events_are_added_at_the_end AFTER INSERT ON events
BEGIN
    SELECT RAISE(ABORT, '"offset" is up to the database')
    WHERE NEW."offset" NOT BETWEEN 1 AND 4611686018427387903
        OR EXISTS (SELECT 1 FROM events WHERE "offset" > NEW."offset");
END;
