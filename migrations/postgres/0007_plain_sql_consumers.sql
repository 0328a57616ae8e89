-- The functions of fstore-sql's read side, for those who consume with SQL alone: a view is a consumer. Arguments that fstore-sql does not
-- have come last and have defaults.

-- Consumers, by the names of fstore-sql.
CREATE VIEW views AS
SELECT c.consumer AS view,
       coalesce(c.since, c.created_at) AS start_at,
       c.lock_timeout_ms / 1000 AS lock_timeout_s,
       c.pooling_delay_s,
       c.push_url AS edge_function_url,
       c.created_at,
       c.updated_at,
       c.namespace
FROM consumers AS c;

-- An event, and the lease that it is held under.
CREATE TYPE leased_event AS (
    event          TEXT,
    event_id       UUID,
    event_version  BIGINT,
    decider        TEXT,
    decider_id     TEXT,
    data           JSONB,
    command_id     UUID,
    previous_id    UUID,
    final          BOOLEAN,
    created_at     TIMESTAMPTZ,
    "offset"       BIGINT,
    transaction_id XID8,
    namespace      TEXT,
    version        BIGINT,
    tags           TEXT[],
    metadata       JSONB,
    generation     INTEGER,
    lease          UUID,
    attempt        BIGINT
);

-- What an answer leaves behind: last_offset is the last event that is done, 0 for none; the stream is not leased before locked_until.
CREATE TYPE settled_stream AS (
    view         TEXT,
    decider_id   TEXT,
    last_offset  BIGINT,
    locked_until TIMESTAMPTZ,
    decider      TEXT,
    attempt      BIGINT,
    parked       BOOLEAN
);

-- Registers a view that begins with the first event created at start_at or later, or, if that is now, committed from now on. Once more
-- changes the settings of the view and nothing else; own ones that are NULL stay as they are.
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
    namespace         TEXT        DEFAULT 'default'
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
        coalesce($9, known.backoff_ms, 1000), $5, coalesce($10, known.push_secret), nullif($2, now()), NULL, NULL, NULL
    );
    UPDATE consumers AS c SET pooling_delay_s = $4
    WHERE c.namespace = $11 AND c.consumer = $1 AND c.pooling_delay_s IS DISTINCT FROM $4;
    RETURN QUERY SELECT * FROM views AS v WHERE v.namespace = $11 AND v.view = $1;
END;
$$;

-- Leases the next event of each of up to "limit" streams, for so many seconds, or as long as the view says.
CREATE FUNCTION stream_events(
    view      TEXT,
    "limit"   BIGINT DEFAULT 1,
    seconds   BIGINT DEFAULT NULL,
    namespace TEXT   DEFAULT 'default'
) RETURNS SETOF leased_event
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    part    RECORD;
    is_done BOOLEAN := coalesce($2 < 1, FALSE);
BEGIN
    WHILE NOT is_done LOOP
        FOR part IN SELECT * FROM gavel_lease($4, $1, $2, $2, 1, $3 * 1000) LOOP
            IF part.lease IS NOT NULL THEN
                is_done := TRUE;
                RETURN QUERY
                SELECT e.event, e.event_id, e.event_version, e.decider, e.decider_id, e.data, e.command_id, e.previous_id, e.final,
                       e.created_at, e."offset", e.transaction_id, e.namespace, e.version, e.tags, e.metadata, e.generation,
                       part.lease, part.attempt
                FROM (SELECT (part.recorded).*) AS e;
            END IF;
            -- A part of the log that holds nothing for the view is no answer.
            is_done := is_done OR part.caught_up;
        END LOOP;
    END LOOP;
END;
$$;

-- The lease that the stream is held under: the one that is given, or, where there can be no mistake, the one there is.
CREATE FUNCTION gavel_lease_of(namespace TEXT, consumer TEXT, decider_id TEXT, decider TEXT, lease UUID) RETURNS UUID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    facts CONSTANT TEXT := json_build_object('view', $2, 'decider_id', $3);
    held           consumer_streams[];
BEGIN
    PERFORM gavel_consumer($1, $2);
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
        ELSE
            RETURN held[1].lease;
    END CASE;
END;
$$;

CREATE FUNCTION gavel_settled(namespace TEXT, consumer TEXT, decider TEXT, decider_id TEXT, last_offset BIGINT)
    RETURNS SETOF settled_stream
    LANGUAGE sql
    SET search_path FROM CURRENT
AS $$
    SELECT $2, $4, $5, coalesce(s.available_at, clock_timestamp()), $3, coalesce(s.attempt, 0), s.parked_at IS NOT NULL
    FROM (SELECT) AS always
    LEFT JOIN consumer_streams AS s ON s.namespace = $1 AND s.consumer = $2 AND s.decider = $3 AND s.decider_id = $4
$$;

-- The leased event at this offset is done, and those of its lease before it.
CREATE FUNCTION ack_event(
    view       TEXT,
    decider_id TEXT,
    "offset"   BIGINT,
    lease      UUID DEFAULT NULL,
    namespace  TEXT DEFAULT 'default'
) RETURNS SETOF settled_stream
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    e events;
BEGIN
    SELECT * INTO e FROM events WHERE "offset" = $3 AND namespace = $5 AND decider_id = $2;
    PERFORM gavel_ack($5, $1, gavel_lease_of($5, $1, $2, e.decider, $4), e.generation, e.transaction_id, $3, FALSE);
    RETURN QUERY SELECT * FROM gavel_settled($5, $1, e.decider, $2, $3);
END;
$$;

-- The leased event could not be processed: it comes again after so many milliseconds, unless that was its last attempt.
CREATE FUNCTION schedule_nack_event(
    view         TEXT,
    decider_id   TEXT,
    milliseconds BIGINT,
    lease        UUID DEFAULT NULL,
    decider      TEXT DEFAULT NULL,
    reason       TEXT DEFAULT '',
    namespace    TEXT DEFAULT 'default'
) RETURNS SETOF settled_stream
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    held UUID             := gavel_lease_of($7, $1, $2, $5, $4);
    s    consumer_streams := gavel_leased($7, $1, held);
BEGIN
    PERFORM gavel_nack($7, $1, held, $3, $6);
    RETURN QUERY
    SELECT settled.*
    FROM (
        SELECT max(e."offset") AS last_offset FROM events AS e
        WHERE e.namespace = $7 AND e.decider = s.decider AND e.decider_id = s.decider_id AND e.version = s.next_version - 1
    ) AS before, gavel_settled($7, $1, s.decider, s.decider_id, coalesce(before.last_offset, 0)) AS settled;
END;
$$;

-- The leased event could not be processed: it comes again at once, unless that was its last attempt.
CREATE FUNCTION nack_event(
    view       TEXT,
    decider_id TEXT,
    lease      UUID DEFAULT NULL,
    decider    TEXT DEFAULT NULL,
    reason     TEXT DEFAULT '',
    namespace  TEXT DEFAULT 'default'
) RETURNS SETOF settled_stream
    LANGUAGE sql
    SET search_path FROM CURRENT
AS $$ SELECT * FROM schedule_nack_event($1, $2, 0, $3, $4, $5, $6) $$;
