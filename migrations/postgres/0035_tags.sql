-- Consumers choose events by tags as well.

-- Only events that have all of these tags; empty for all.
ALTER TABLE consumers ADD COLUMN tags TEXT[] NOT NULL DEFAULT '{}';
ALTER TABLE consumers ADD CONSTRAINT consumers_tags_check CHECK (array_position(tags, NULL) IS NULL);

-- As in 0006, but for the tags.
CREATE OR REPLACE FUNCTION gavel_wants(c consumers, e events) RETURNS BOOLEAN
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT (c.deciders = '{}' OR e.decider = ANY (c.deciders))
       AND (c.events = '{}' OR e.event = ANY (c.events))
       AND e.tags @> c.tags
       AND (c.since IS NULL OR e.created_at >= c.since)
$$;

-- As in 0006, but for the tags. They come last, and NULL leaves them as they are: so an older host can call it.
DROP FUNCTION gavel_put_consumer(TEXT, TEXT, TEXT[], TEXT[], BIGINT, BIGINT, BIGINT, TEXT, TEXT, TIMESTAMPTZ, INTEGER, XID8, BIGINT);
CREATE FUNCTION gavel_put_consumer(
    namespace       TEXT,
    consumer        TEXT,
    deciders        TEXT[],
    events          TEXT[],
    lock_timeout_ms BIGINT,
    max_attempts    BIGINT,
    backoff_ms      BIGINT,
    push_url        TEXT,
    push_secret     TEXT,
    since           TIMESTAMPTZ,
    generation      INTEGER,
    transaction_id  XID8,
    "offset"        BIGINT,
    tags            TEXT[] DEFAULT NULL
) RETURNS BOOLEAN
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    LOOP
        UPDATE consumers AS c
        SET deciders = $3, events = $4, tags = coalesce($14, c.tags), lock_timeout_ms = $5, max_attempts = $6, backoff_ms = $7, push_url = $8, push_secret = $9,
            updated_at = clock_timestamp()
        WHERE c.namespace = $1 AND c.consumer = $2;
        IF FOUND THEN
            RETURN FALSE;
        END IF;
        INSERT INTO consumers (namespace, consumer, deciders, events, tags, lock_timeout_ms, max_attempts, backoff_ms, push_url, push_secret,
                               since, generation, transaction_id, "offset")
        SELECT $1, $2, $3, $4, coalesce($14, '{}'), $5, $6, $7, $8, $9, $10, start.*
        FROM gavel_start($1, $10, $11, $12, $13) AS start
        ON CONFLICT ON CONSTRAINT consumers_pkey DO NOTHING;
        IF FOUND THEN
            RETURN TRUE;
        END IF;
    END LOOP;
END;
$$;

-- As in 0007, but for the tags.
DROP FUNCTION register_view(TEXT, TIMESTAMPTZ, BIGINT, BIGINT, TEXT, TEXT[], TEXT[], BIGINT, BIGINT, TEXT, TEXT);
CREATE FUNCTION register_view(
    view              TEXT,
    start_at          TIMESTAMPTZ DEFAULT now(),
    lock_timeout_s    BIGINT      DEFAULT 300,
    pooling_delay_s   BIGINT      DEFAULT NULL,
    edge_function_url TEXT        DEFAULT NULL,
    deciders          TEXT[]      DEFAULT NULL,
    events            TEXT[]      DEFAULT NULL,
    max_attempts      BIGINT      DEFAULT NULL,
    backoff_ms        BIGINT      DEFAULT NULL,
    push_secret       TEXT        DEFAULT NULL,
    namespace         TEXT        DEFAULT 'default',
    tags              TEXT[]      DEFAULT NULL
) RETURNS SETOF views
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    known consumers;
BEGIN
    SELECT * INTO known FROM consumers AS c WHERE c.namespace = $11 AND c.consumer = $1;
    -- What was created before now may be committed after it, and belongs to what is still to come.
    PERFORM gavel_put_consumer(
        $11, $1, coalesce($6, known.deciders, '{}'), coalesce($7, known.events, '{}'), $3 * 1000, coalesce($8, known.max_attempts, 5),
        coalesce($9, known.backoff_ms, 1000), $5, coalesce($10, known.push_secret), nullif($2, now()), NULL, NULL, NULL,
        coalesce($12, known.tags, '{}')
    );
    UPDATE consumers AS c SET pooling_delay_s = $4
    WHERE c.namespace = $11 AND c.consumer = $1 AND c.pooling_delay_s IS DISTINCT FROM $4;
    RETURN QUERY SELECT * FROM views AS v WHERE v.namespace = $11 AND v.view = $1;
END;
$$;

-- As in 0009.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION gavel_put_consumer(TEXT, TEXT, TEXT[], TEXT[], BIGINT, BIGINT, BIGINT, TEXT, TEXT, TIMESTAMPTZ, INTEGER, XID8, BIGINT, TEXT[]) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION register_view(TEXT, TIMESTAMPTZ, BIGINT, BIGINT, TEXT, TEXT[], TEXT[], BIGINT, BIGINT, TEXT, TEXT, TEXT[]) SET search_path = %I, pg_temp', current_schema());
END;
$$;
