-- A consumer that begins anew hands out again what workers may still have from before, and who comes late without a lease cannot be told from
-- the one that has it now.

-- Events up to this "offset" may have been leased before the consumer was reset.
ALTER TABLE consumers ADD COLUMN leased_before_reset BIGINT NOT NULL DEFAULT 0;

-- As in 0006, but for what may have been leased.
CREATE OR REPLACE FUNCTION gavel_reset_consumer(
    namespace      TEXT,
    consumer       TEXT,
    since          TIMESTAMPTZ,
    generation     INTEGER,
    transaction_id XID8,
    "offset"       BIGINT
) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    PERFORM gavel_consumer($1, $2);
    -- First the consumer, so that nobody hands out anything until this is committed.
    UPDATE consumers AS c
    SET since = $3, (generation, transaction_id, "offset") = (SELECT * FROM gavel_start($1, $3, $4, $5, $6))
    WHERE c.namespace = $1 AND c.consumer = $2;
    -- A statement of its own sees all that was handed out until then.
    UPDATE consumers AS c SET leased_before_reset = coalesce((SELECT max(e."offset") FROM events AS e), 0)
    WHERE c.namespace = $1 AND c.consumer = $2;
    DELETE FROM consumer_streams AS s WHERE s.namespace = $1 AND s.consumer = $2;
END;
$$;

-- As in 0007, but for what may have been leased before a reset.
CREATE OR REPLACE FUNCTION gavel_lease_of(namespace TEXT, consumer TEXT, decider_id TEXT, decider TEXT, lease UUID) RETURNS UUID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    facts CONSTANT TEXT := json_build_object('view', $2, 'decider_id', $3);
    c              consumers := gavel_consumer($1, $2);
    held           consumer_streams[];
BEGIN
    held := ARRAY(
        SELECT s FROM consumer_streams AS s
        WHERE s.namespace = $1 AND s.consumer = $2 AND s.decider_id = $3 AND s.lease IS NOT NULL
          AND ($4 IS NULL OR s.decider = $4) AND ($5 IS NULL OR s.lease = $5)
    );
    CASE
        WHEN cardinality(held) = 0 THEN
            RAISE EXCEPTION 'stream % is not leased to view %, or not any more', $3, $2 USING ERRCODE = 'GV007', DETAIL = facts;
        WHEN cardinality(held) > 1 THEN
            RAISE EXCEPTION 'streams % of several deciders are leased to view %: name the lease, or the decider', $3, $2
                USING ERRCODE = 'GV010', DETAIL = facts;
        WHEN $5 IS NULL AND held[1].taken_over THEN
            RAISE EXCEPTION 'stream % of view % was taken over after a timeout: name the lease', $3, $2
                USING ERRCODE = 'GV010', DETAIL = facts;
        WHEN $5 IS NULL AND held[1].next_offset <= c.leased_before_reset THEN
            RAISE EXCEPTION 'stream % of view % may have been leased before the view was reset as well: name the lease', $3, $2
                USING ERRCODE = 'GV010', DETAIL = facts;
        ELSE
            RETURN held[1].lease;
    END CASE;
END;
$$;

-- As in 0009.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION gavel_reset_consumer(TEXT, TEXT, TIMESTAMPTZ, INTEGER, XID8, BIGINT) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION gavel_lease_of(TEXT, TEXT, TEXT, TEXT, UUID) SET search_path = %I, pg_temp', current_schema());
END;
$$;
