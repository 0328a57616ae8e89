-- Functions find our tables, whatever tables, temporary ones included, and schemas of its own a session has.

-- A path that does not name pg_temp begins with it. Functions without a path of their own are left alone: with one they could not be inlined.
DO $$
DECLARE
    ours REGPROCEDURE;
BEGIN
    FOR ours IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::REGNAMESPACE
          AND (p.proname LIKE 'gavel\_%' OR p.proname IN (
              'register_decider_event', 'append_event', 'get_events', 'get_last_event',
              'register_view', 'stream_events', 'ack_event', 'nack_event', 'schedule_nack_event'))
          AND EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search\_path=%')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours, current_schema());
    END LOOP;
END;
$$;

-- The rules look at streams with the rights of who owns them, so that who writes events needs no right to write heads or generations.
ALTER FUNCTION gavel_generation() SECURITY DEFINER;
ALTER FUNCTION gavel_complete_event() SECURITY DEFINER;
ALTER FUNCTION gavel_check_events() SECURITY DEFINER;

-- Nobody else may make them the triggers of a table of their own, and so write heads of streams that have no such event.
REVOKE EXECUTE ON FUNCTION gavel_complete_event(), gavel_check_events() FROM PUBLIC;
