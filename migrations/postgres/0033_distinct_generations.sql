-- Two lives of a server never have the same number, also when the later one begins on an older copy of the database, which does not know of the one that
-- is lost: a generation is not begun before the second has passed in which its server was started. So its number is at most the second in which it is
-- begun, and that of a server which is started after that is higher.
CREATE OR REPLACE FUNCTION gavel_generation() RETURNS INTEGER
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    here   CONSTANT BIGINT := (SELECT c.system_identifier FROM pg_control_system() AS c);
    since  CONSTANT TIMESTAMPTZ := pg_postmaster_start_time();
    newest RECORD;
BEGIN
    LOOP
        SELECT g.generation, g.system_identifier = here AND g.server_started_at = since AS is_ours INTO newest
        FROM generations AS g ORDER BY g.generation DESC LIMIT 1;
        IF newest.is_ours THEN
            RETURN newest.generation;
        END IF;
        -- A second at most; a clock that was set back is not waited for.
        PERFORM pg_sleep(least(extract(EPOCH FROM date_trunc('second', since) + INTERVAL '1 second' - clock_timestamp()), 1));
        INSERT INTO generations (generation, system_identifier, server_started_at, follows, begun_by)
        VALUES (
            greatest(newest.generation + 1, least(floor(extract(EPOCH FROM clock_timestamp() - TIMESTAMPTZ '2026-01-01 00:00:00+00')), 2147000000)),
            here, since, newest.generation, pg_current_xact_id()
        )
        ON CONFLICT DO NOTHING;
    END LOOP;
END;
$$;

-- As in 0009.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION gavel_generation() SET search_path = %I, pg_temp', current_schema());
END;
$$;
