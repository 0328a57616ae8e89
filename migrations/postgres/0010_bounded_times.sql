-- No event is created at a time that cannot be shown: -infinity, before Christ, or after the year 9999.

-- Rows that are there already stay as they are, and keep no host from starting: then the constraint holds for new rows only.
ALTER TABLE events ADD CONSTRAINT events_created_at_check
    CHECK (created_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00') NOT VALID;

DO $$
BEGIN
    ALTER TABLE events VALIDATE CONSTRAINT events_created_at_check;
EXCEPTION WHEN check_violation THEN
    RAISE WARNING 'some events are created at times that cannot be shown; readers report them as malformed';
END;
$$;
