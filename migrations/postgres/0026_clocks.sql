-- When the lease or rest began that ends at available_at. The clock may be set back meanwhile: what began in the future, by more than it was to last,
-- is over.
ALTER TABLE consumer_streams ADD COLUMN available_since TIMESTAMPTZ NOT NULL DEFAULT now();

-- Whoever says until when, says from when. A trigger, so that hosts of the release before do so, too.
CREATE FUNCTION gavel_date_backlog() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    NEW.available_since := clock_timestamp();
    RETURN NEW;
END;
$$;

CREATE TRIGGER consumer_streams_dated
    BEFORE INSERT OR UPDATE OF available_at ON consumer_streams
    FOR EACH ROW
    EXECUTE FUNCTION gavel_date_backlog();

-- The function is changed where it stands, so that nothing else of it is written down a second time.
DO $$
DECLARE
    definition CONSTANT TEXT := pg_get_functiondef('gavel_pick'::REGPROC);
    waiting    CONSTANT TEXT := 's.available_at <= clock';
    over       CONSTANT TEXT := '(s.available_at <= clock OR s.available_since - clock > s.available_at - s.available_since)';
    leased     CONSTANT TEXT := 'spent.available_at <= clock';
    expired    CONSTANT TEXT := '(spent.available_at <= clock OR spent.available_since - clock > spent.available_at - spent.available_since)';
BEGIN
    IF position(waiting IN definition) = 0 OR position(leased IN definition) = 0 THEN
        RAISE EXCEPTION 'gavel_pick is another function than it was';
    END IF;
    EXECUTE replace(replace(definition, waiting, over), leased, expired);
    EXECUTE format('ALTER FUNCTION gavel_date_backlog() SET search_path = %I, pg_temp', current_schema());
END;
$$;
