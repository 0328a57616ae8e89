-- The rules of a stream, as before; its newest event is found in two steps of an index, without a table to keep it in for each event.

DROP TRIGGER events_follow_their_stream;

CREATE TRIGGER events_follow_their_stream BEFORE INSERT ON events
BEGIN
    SELECT CASE
        WHEN head.final THEN RAISE(ABORT, 'the stream is final')
        WHEN NEW.version <> coalesce(head.version, 0) + 1 THEN RAISE(ABORT, 'the version is not the next of the stream')
        WHEN NEW.previous_id IS NOT head.event_id THEN RAISE(ABORT, 'previous_id is not the newest event of the stream')
        WHEN NEW.created_at < head.created_at THEN RAISE(ABORT, 'created_at is before the newest event of the stream')
    END
    FROM (SELECT 1) LEFT JOIN events AS head ON head."offset" = (
        SELECT "offset" FROM events
        WHERE namespace = NEW.namespace AND decider = NEW.decider AND decider_id = NEW.decider_id
        ORDER BY version DESC LIMIT 1
    );
    -- INSERT OR REPLACE would delete the older row without asking the trigger on DELETE.
    SELECT RAISE(ABORT, 'events are immutable')
    WHERE EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
        OR EXISTS (SELECT 1 FROM events WHERE "offset" = NEW."offset");
END;
