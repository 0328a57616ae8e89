-- Consumers: named readers that share their work. An append does nothing for them: events are handed out when somebody asks for some.

CREATE TABLE consumers (
    namespace       TEXT COLLATE "C" NOT NULL,
    consumer        TEXT COLLATE "C" NOT NULL,
    -- Only events of these deciders and of these names; empty for all.
    deciders        TEXT[]           NOT NULL,
    events          TEXT[]           NOT NULL,
    lock_timeout_ms BIGINT           NOT NULL,
    max_attempts    BIGINT           NOT NULL,
    backoff_ms      BIGINT           NOT NULL,
    push_url        TEXT,
    push_secret     TEXT,
    -- Kept for those who come from fstore-sql: a host pushes as soon as there is something.
    pooling_delay_s BIGINT,
    paused          BOOLEAN          NOT NULL DEFAULT FALSE,
    -- Events created earlier are left out, wherever they are in the log; NULL for none.
    since           TIMESTAMPTZ,
    -- The cursor. All events of the log up to here, inclusive, are handed out to their streams.
    generation      INTEGER          NOT NULL,
    transaction_id  XID8             NOT NULL,
    "offset"        BIGINT           NOT NULL,
    created_at      TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    -- When the settings were last changed.
    updated_at      TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT consumers_pkey PRIMARY KEY (namespace, consumer),
    CONSTRAINT consumers_namespace_check CHECK (namespace ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    CONSTRAINT consumers_consumer_check CHECK (consumer ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
    CONSTRAINT consumers_filter_check CHECK (array_position(deciders, NULL) IS NULL AND array_position(events, NULL) IS NULL),
    CONSTRAINT consumers_lock_timeout_ms_check CHECK (lock_timeout_ms >= 1),
    CONSTRAINT consumers_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 4294967295),
    CONSTRAINT consumers_backoff_ms_check CHECK (backoff_ms >= 0),
    CONSTRAINT consumers_push_url_check CHECK (push_url ~ '^https?://')
) WITH (fillfactor = 70);

-- What of a stream is handed out and not done. The row goes when all of it is done.
CREATE TABLE consumer_streams (
    namespace           TEXT COLLATE "C" NOT NULL,
    consumer            TEXT COLLATE "C" NOT NULL,
    decider             TEXT COLLATE "C" NOT NULL,
    decider_id          TEXT COLLATE "C" NOT NULL,
    -- The oldest event that is not done.
    next_version        BIGINT           NOT NULL,
    next_generation     INTEGER          NOT NULL,
    next_transaction_id XID8             NOT NULL,
    next_offset         BIGINT           NOT NULL,
    next_created_at     TIMESTAMPTZ      NOT NULL,
    -- The newest event that is handed out.
    last_version        BIGINT           NOT NULL,
    -- How many wanted events that is.
    pending             BIGINT           NOT NULL,
    -- How often the next event has been leased.
    attempt             BIGINT           NOT NULL DEFAULT 0,
    -- When it may be leased: the end of a lease, or of a rest.
    available_at        TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    -- What settles it, a new one each time; NULL when it is not leased.
    lease               UUID,
    -- The newest event that is leased.
    leased_through      BIGINT,
    -- Whether a worker has had the next event until its time was up, and may still come and say something of it.
    taken_over          BOOLEAN          NOT NULL DEFAULT FALSE,
    parked_at           TIMESTAMPTZ,
    -- What was said of the last failure.
    reason              TEXT             NOT NULL DEFAULT '',
    CONSTRAINT consumer_streams_pkey PRIMARY KEY (namespace, consumer, decider, decider_id),
    CONSTRAINT consumer_streams_consumer_fkey
        FOREIGN KEY (namespace, consumer) REFERENCES consumers (namespace, consumer) ON DELETE CASCADE,
    CONSTRAINT consumer_streams_lease_check CHECK ((lease IS NULL) = (leased_through IS NULL)),
    CONSTRAINT consumer_streams_parked_check CHECK (parked_at IS NULL OR lease IS NULL)
) WITH (fillfactor = 70);

-- The next stream to lease is the one whose next event is the oldest.
CREATE INDEX consumer_streams_next_idx
    ON consumer_streams (namespace, consumer, next_generation, next_transaction_id, next_offset)
    WHERE parked_at IS NULL;
CREATE UNIQUE INDEX consumer_streams_lease_key ON consumer_streams (lease, namespace, consumer) WHERE lease IS NOT NULL;
-- Leases that have expired.
CREATE INDEX consumer_streams_leased_idx ON consumer_streams (namespace, consumer, available_at) WHERE lease IS NOT NULL;

-- Whether the consumer wants the event. No SET in this one and the next: that would keep them from becoming a part of the query around them.
CREATE FUNCTION gavel_wants(c consumers, e events) RETURNS BOOLEAN
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT (c.deciders = '{}' OR e.decider = ANY (c.deciders))
       AND (c.events = '{}' OR e.event = ANY (c.events))
       AND (c.since IS NULL OR e.created_at >= c.since)
$$;

-- The log after the cursor, up to what no transaction can come before any more.
CREATE FUNCTION gavel_new_events(c consumers) RETURNS SETOF events
    LANGUAGE sql STABLE
AS $$
    SELECT * FROM events AS e
    WHERE e.namespace = c.namespace
      AND (e.generation, e.transaction_id, e."offset") > (c.generation, c.transaction_id, c."offset")
      AND (e.generation, e.transaction_id)
          < ((SELECT max(g.generation) FROM generations AS g), (SELECT pg_snapshot_xmin(pg_current_snapshot())))
$$;

-- The time in so many milliseconds; ten years at most.
CREATE FUNCTION gavel_time_in(milliseconds BIGINT) RETURNS TIMESTAMPTZ
    LANGUAGE sql VOLATILE
AS $$ SELECT clock_timestamp() + least($1, 315576000000) * INTERVAL '1 millisecond' $$;

CREATE FUNCTION gavel_consumer(namespace TEXT, consumer TEXT) RETURNS consumers
    LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    known consumers;
BEGIN
    SELECT * INTO known FROM consumers AS c WHERE c.namespace = $1 AND c.consumer = $2;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'namespace % has no consumer %', $1, $2
            USING ERRCODE = 'GV006', DETAIL = json_build_object('consumer', $2);
    END IF;
    RETURN known;
END;
$$;

-- The stream that is held under the lease. Its row is locked.
CREATE FUNCTION gavel_leased(namespace TEXT, consumer TEXT, lease UUID) RETURNS consumer_streams
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    held consumer_streams;
BEGIN
    SELECT * INTO held FROM consumer_streams AS s
    WHERE s.lease = $3 AND s.namespace = $1 AND s.consumer = $2
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'GV007', DETAIL = json_build_object('lease', $3);
    END IF;
    RETURN held;
END;
$$;

-- Where a consumer begins: at the position that is given; else, if there is a time, before the first event of that time or later; else, and
-- never later than that, before all that is committed from now on.
CREATE FUNCTION gavel_start(
    namespace            TEXT,
    since                TIMESTAMPTZ,
    INOUT generation     INTEGER,
    INOUT transaction_id XID8,
    INOUT "offset"       BIGINT
)
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    earliest RECORD;
BEGIN
    IF $3 IS NOT NULL THEN
        RETURN;
    END IF;
    generation := gavel_generation();
    transaction_id := pg_snapshot_xmin(pg_current_snapshot());
    "offset" := 0;
    IF $2 IS NULL THEN
        RETURN;
    END IF;
    SELECT e.generation, e.transaction_id, e."offset" INTO earliest
    FROM events AS e
    WHERE e.namespace = $1 AND (e.generation, e.transaction_id) < ($3, $4) AND e.created_at >= $2
    ORDER BY e.generation, e.transaction_id, e."offset"
    LIMIT 1;
    IF FOUND THEN
        generation := earliest.generation;
        transaction_id := earliest.transaction_id;
        "offset" := earliest."offset" - 1;
    END IF;
END;
$$;

-- Creates a consumer that begins as gavel_start says, or changes the settings of the one there is, which stays where it is. Whether it is new.
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
    "offset"        BIGINT
) RETURNS BOOLEAN
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    LOOP
        UPDATE consumers AS c
        SET deciders = $3, events = $4, lock_timeout_ms = $5, max_attempts = $6, backoff_ms = $7, push_url = $8, push_secret = $9,
            updated_at = clock_timestamp()
        WHERE c.namespace = $1 AND c.consumer = $2;
        IF FOUND THEN
            RETURN FALSE;
        END IF;
        INSERT INTO consumers (namespace, consumer, deciders, events, lock_timeout_ms, max_attempts, backoff_ms, push_url, push_secret,
                               since, generation, transaction_id, "offset")
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, start.*
        FROM gavel_start($1, $10, $11, $12, $13) AS start
        ON CONFLICT ON CONSTRAINT consumers_pkey DO NOTHING;
        IF FOUND THEN
            RETURN TRUE;
        END IF;
    END LOOP;
END;
$$;

-- Begins anew, as gavel_start says.
CREATE FUNCTION gavel_reset_consumer(
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
    DELETE FROM consumer_streams AS s WHERE s.namespace = $1 AND s.consumer = $2;
END;
$$;

-- Hands out a page of the log to the streams that its events belong to, and moves the cursor past it. Whether the cursor is at the end;
-- NULL when somebody else is in the way. Waits for nobody: neither for another one who hands out, nor for those who have a row locked of a
-- stream that there is an event of; the page ends before that event.
CREATE FUNCTION gavel_hand_out(namespace TEXT, consumer TEXT) RETURNS BOOLEAN
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    -- A plan that was made while the tables were small must not outlive that.
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    page_size CONSTANT INTEGER := 1000;
    c         consumers := gavel_consumer($1, $2);
    looked_at INTEGER;
    passed    INTEGER;
BEGIN
    -- Whoever asks in vain writes nothing.
    IF NOT EXISTS (SELECT FROM gavel_new_events(c)) THEN
        RETURN TRUE;
    END IF;
    SELECT * INTO c FROM consumers AS k
    WHERE k.namespace = $1 AND k.consumer = $2
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH page AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY p.generation, p.transaction_id, p."offset") AS place, p.*
        FROM (
            SELECT e.generation, e.transaction_id, e."offset", e.decider, e.decider_id, e.version, e.created_at,
                   gavel_wants(c, e) AS is_wanted
            FROM gavel_new_events(c) AS e
            ORDER BY e.generation, e.transaction_id, e."offset"
            LIMIT page_size
        ) AS p
    ),
    streams AS (
        SELECT p.decider, p.decider_id, min(p.place) AS place FROM page AS p WHERE p.is_wanted GROUP BY p.decider, p.decider_id
    ),
    -- Looked up row by row: a join may be planned as a scan of all rows of the consumer.
    held AS (
        SELECT min(p.place) AS place
        FROM streams AS p
        WHERE (
            SELECT TRUE FROM consumer_streams AS s
            WHERE s.namespace = $1 AND s.consumer = $2 AND s.decider = p.decider AND s.decider_id = p.decider_id
        ) AND (
            SELECT TRUE FROM consumer_streams AS s
            WHERE s.namespace = $1 AND s.consumer = $2 AND s.decider = p.decider AND s.decider_id = p.decider_id
            FOR UPDATE SKIP LOCKED
        ) IS NULL
    ),
    passed AS (
        SELECT p.* FROM page AS p, held WHERE held.place IS NULL OR p.place < held.place
    ),
    handed_out AS (
        INSERT INTO consumer_streams AS s (namespace, consumer, decider, decider_id, next_version, next_generation, next_transaction_id,
                                           next_offset, next_created_at, last_version, pending)
        SELECT DISTINCT ON (p.decider, p.decider_id)
               $1, $2, p.decider, p.decider_id, p.version, p.generation, p.transaction_id,
               p."offset", p.created_at, max(p.version) OVER stream, count(*) OVER stream
        FROM passed AS p
        WHERE p.is_wanted
        WINDOW stream AS (PARTITION BY p.decider, p.decider_id)
        ORDER BY p.decider, p.decider_id, p.place
        ON CONFLICT ON CONSTRAINT consumer_streams_pkey DO UPDATE
            SET last_version = excluded.last_version, pending = s.pending + excluded.pending
    ),
    moved AS (
        UPDATE consumers AS k SET generation = p.generation, transaction_id = p.transaction_id, "offset" = p."offset"
        FROM passed AS p
        WHERE p.place = (SELECT max(place) FROM passed) AND k.namespace = $1 AND k.consumer = $2
    )
    SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM passed) INTO looked_at, passed;

    RETURN CASE WHEN passed = looked_at THEN looked_at < page_size END;
END;
$$;

-- Up to "limit" streams that are free, the one whose next event is the oldest first; all of them if that is NULL. Their rows are locked. Those
-- whose last attempt has expired are parked.
CREATE FUNCTION gavel_pick(c consumers, "limit" BIGINT) RETURNS consumer_streams[]
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    clock CONSTANT TIMESTAMPTZ := clock_timestamp();
BEGIN
    UPDATE consumer_streams AS s
    SET parked_at = clock, reason = 'the lease of the last attempt expired', lease = NULL, leased_through = NULL, taken_over = TRUE
    WHERE s.lease = ANY (ARRAY(
        SELECT spent.lease FROM consumer_streams AS spent
        WHERE spent.namespace = c.namespace AND spent.consumer = c.consumer AND spent.lease IS NOT NULL
          AND spent.available_at <= clock AND spent.attempt >= c.max_attempts
        FOR UPDATE SKIP LOCKED
    ));
    RETURN ARRAY(
        SELECT s FROM consumer_streams AS s
        WHERE s.namespace = c.namespace AND s.consumer = c.consumer AND s.parked_at IS NULL AND s.available_at <= clock
        ORDER BY s.next_generation, s.next_transaction_id, s.next_offset
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    );
END;
$$;

-- Leases up to max_streams streams that are free, the one whose next event is the oldest first, with up to max_events events in all: up to
-- `each` of every stream, an even share if that is NULL. They hold for lock_timeout_ms, or as the consumer's settings say.
--
-- A row for each event. The last row has none: caught_up says whether the cursor is at the end of the log, and next_in_ms, if nothing was
-- leased, when a stream may become free; NULL for none.
CREATE FUNCTION gavel_lease(
    namespace       TEXT,
    consumer        TEXT,
    max_streams     BIGINT,
    max_events      BIGINT,
    each            BIGINT DEFAULT NULL,
    lock_timeout_ms BIGINT DEFAULT NULL
) RETURNS TABLE (lease UUID, attempt BIGINT, expires_at TIMESTAMPTZ, recorded events, caught_up BOOLEAN, next_in_ms BIGINT)
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- When to ask again if others are in the way.
    soon_ms  CONSTANT BIGINT := 20;
    c        consumers := gavel_consumer($1, $2);
    s        consumer_streams;
    picked   consumer_streams[];
    versions BIGINT[];
    is_asked BOOLEAN := FALSE;
    at_end   BOOLEAN;
BEGIN
    IF c.paused THEN
        caught_up := TRUE;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Again if the filter was changed and leaves nothing of those that were picked.
    WHILE lease IS NULL LOOP
        picked := gavel_pick(c, least($3, $4));
        -- What is still to be handed out is younger than all that is.
        IF NOT is_asked AND cardinality(picked) IS DISTINCT FROM least($3, $4) THEN
            is_asked := TRUE;
            at_end := gavel_hand_out($1, $2);
            picked := gavel_pick(c, least($3, $4));
        END IF;
        EXIT WHEN cardinality(picked) = 0;
        FOREACH s IN ARRAY picked LOOP
            versions := ARRAY(
                SELECT e.version FROM events AS e
                WHERE e.namespace = $1 AND e.decider = s.decider AND e.decider_id = s.decider_id
                  AND e.version BETWEEN s.next_version AND s.last_version AND gavel_wants(c, e)
                ORDER BY e.version
                LIMIT coalesce($5, greatest(1, $4 / cardinality(picked)))
            );
            IF cardinality(versions) = 0 THEN
                DELETE FROM consumer_streams AS t
                WHERE t.namespace = $1 AND t.consumer = $2 AND t.decider = s.decider AND t.decider_id = s.decider_id;
                CONTINUE;
            END IF;
            UPDATE consumer_streams AS t
            SET next_version = e.version, next_generation = e.generation, next_transaction_id = e.transaction_id,
                next_offset = e."offset", next_created_at = e.created_at,
                attempt = t.attempt + 1, available_at = gavel_time_in(coalesce($6, c.lock_timeout_ms)),
                lease = gen_random_uuid(), leased_through = versions[cardinality(versions)],
                taken_over = t.taken_over OR t.lease IS NOT NULL
            FROM events AS e
            WHERE t.namespace = $1 AND t.consumer = $2 AND t.decider = s.decider AND t.decider_id = s.decider_id
              AND e.namespace = $1 AND e.decider = s.decider AND e.decider_id = s.decider_id AND e.version = versions[1]
            RETURNING t.lease, t.attempt, t.available_at INTO lease, attempt, expires_at;
            FOR recorded IN
                SELECT e.* FROM events AS e
                WHERE e.namespace = $1 AND e.decider = s.decider AND e.decider_id = s.decider_id AND e.version = ANY (versions)
                ORDER BY e.version
            LOOP
                RETURN NEXT;
            END LOOP;
        END LOOP;
    END LOOP;

    -- Whoever was not let to the end, and has found nothing, has to wait for somebody else.
    caught_up := coalesce(at_end, lease IS NULL);
    IF lease IS NULL THEN
        SELECT greatest(soon_ms, ceil(extract(EPOCH FROM min(f.available_at) - clock_timestamp()) * 1000)) INTO next_in_ms
        FROM consumer_streams AS f
        WHERE f.namespace = $1 AND f.consumer = $2 AND f.parked_at IS NULL
        HAVING count(*) > 0;
        IF at_end IS NULL THEN
            next_in_ms := soon_ms;
        END IF;
    END IF;
    lease := NULL;
    attempt := NULL;
    expires_at := NULL;
    recorded := NULL;
    RETURN NEXT;
END;
$$;

-- The events of a stream through a version are done, so many of them that were wanted. Gives back the version of the next one; NULL when
-- there is none, and no row any more.
CREATE FUNCTION gavel_advance(c consumers, s consumer_streams, through BIGINT, done BIGINT) RETURNS BIGINT
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    next events;
BEGIN
    SELECT e.* INTO next FROM events AS e
    WHERE e.namespace = s.namespace AND e.decider = s.decider AND e.decider_id = s.decider_id
      AND e.version > $3 AND e.version <= s.last_version AND gavel_wants(c, e)
    ORDER BY e.version
    LIMIT 1;
    IF NOT FOUND THEN
        DELETE FROM consumer_streams AS t
        WHERE t.namespace = s.namespace AND t.consumer = s.consumer AND t.decider = s.decider AND t.decider_id = s.decider_id;
        RETURN NULL;
    END IF;
    UPDATE consumer_streams AS t
    SET next_version = next.version, next_generation = next.generation, next_transaction_id = next.transaction_id,
        next_offset = next."offset", next_created_at = next.created_at, pending = greatest(t.pending - $4, 1),
        attempt = 0, available_at = clock_timestamp(), lease = NULL, leased_through = NULL, taken_over = FALSE,
        parked_at = NULL, reason = ''
    WHERE t.namespace = s.namespace AND t.consumer = s.consumer AND t.decider = s.decider AND t.decider_id = s.decider_id;
    RETURN next.version;
END;
$$;

-- The events of the lease through this position are done. The lease ends, unless it is to be kept and events of it are left: then it holds
-- for the lock timeout from now on, until the time that is given back.
CREATE FUNCTION gavel_ack(
    namespace      TEXT,
    consumer       TEXT,
    lease          UUID,
    generation     INTEGER,
    transaction_id XID8,
    "offset"       BIGINT,
    keep           BOOLEAN
) RETURNS TIMESTAMPTZ
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    c       consumers := gavel_consumer($1, $2);
    s       consumer_streams := gavel_leased($1, $2, $3);
    through BIGINT;
    done    BIGINT;
    expires_at TIMESTAMPTZ;
BEGIN
    SELECT e.version INTO through FROM events AS e
    WHERE e."offset" = $6 AND e.generation = $4 AND e.transaction_id = $5
      AND e.namespace = s.namespace AND e.decider = s.decider AND e.decider_id = s.decider_id
      AND e.version BETWEEN s.next_version AND s.leased_through;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no event of the lease is at "offset" %', $6
            USING ERRCODE = 'GV008', DETAIL = json_build_object('offset', $6);
    END IF;
    done := (
        SELECT count(*) FROM events AS e
        WHERE e.namespace = s.namespace AND e.decider = s.decider AND e.decider_id = s.decider_id
          AND e.version BETWEEN s.next_version AND through AND gavel_wants(c, e)
    );
    IF gavel_advance(c, s, through, done) <= s.leased_through AND $7 THEN
        UPDATE consumer_streams AS t
        SET attempt = 1, available_at = gavel_time_in(c.lock_timeout_ms), lease = s.lease, leased_through = s.leased_through
        WHERE t.namespace = s.namespace AND t.consumer = s.consumer AND t.decider = s.decider AND t.decider_id = s.decider_id
        RETURNING t.available_at INTO expires_at;
    END IF;
    RETURN expires_at;
END;
$$;

-- The stream is not delivered any more.
CREATE FUNCTION gavel_park(namespace TEXT, consumer TEXT, lease UUID, reason TEXT) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    s consumer_streams := gavel_leased($1, $2, $3);
BEGIN
    UPDATE consumer_streams AS t SET parked_at = clock_timestamp(), reason = $4, lease = NULL, leased_through = NULL
    WHERE t.lease = s.lease;
END;
$$;

-- The first event of the lease could not be processed. The stream rests for so many milliseconds, or as the settings say, and gives back
-- how long; after the last attempt it is parked, and the answer is NULL.
CREATE FUNCTION gavel_nack(namespace TEXT, consumer TEXT, lease UUID, delay_ms BIGINT, reason TEXT) RETURNS BIGINT
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    longest_backoff_ms CONSTANT BIGINT := 3600000;
    c                  consumers := gavel_consumer($1, $2);
    s                  consumer_streams := gavel_leased($1, $2, $3);
    rest_ms            BIGINT := $4;
BEGIN
    IF s.attempt >= c.max_attempts THEN
        PERFORM gavel_park($1, $2, $3, $5);
        RETURN NULL;
    END IF;
    -- Twice as long after each further failure.
    rest_ms := coalesce(rest_ms, least(c.backoff_ms * 2::NUMERIC ^ least(s.attempt - 1, 31), greatest(longest_backoff_ms, c.backoff_ms)));
    UPDATE consumer_streams AS t
    SET available_at = gavel_time_in(rest_ms), lease = NULL, leased_through = NULL, reason = $5
    WHERE t.lease = s.lease;
    RETURN rest_ms;
END;
$$;

-- Lets the lease hold for the lock timeout from now on, until the time that is given back.
CREATE FUNCTION gavel_extend(namespace TEXT, consumer TEXT, lease UUID) RETURNS TIMESTAMPTZ
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    c          consumers := gavel_consumer($1, $2);
    s          consumer_streams := gavel_leased($1, $2, $3);
    expires_at TIMESTAMPTZ;
BEGIN
    UPDATE consumer_streams AS t SET available_at = gavel_time_in(c.lock_timeout_ms)
    WHERE t.lease = s.lease
    RETURNING t.available_at INTO expires_at;
    RETURN expires_at;
END;
$$;

-- Whoever has the lease cannot read its event at "offset": those before it are what is leased. If there are none, the stream is parked.
CREATE FUNCTION gavel_cut_lease(namespace TEXT, consumer TEXT, lease UUID, "offset" BIGINT, reason TEXT) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    s       consumer_streams := gavel_leased($1, $2, $3);
    through BIGINT := (SELECT e.version - 1 FROM events AS e WHERE e."offset" = $4);
BEGIN
    IF through < s.next_version THEN
        PERFORM gavel_park($1, $2, $3, $5);
    ELSE
        UPDATE consumer_streams AS t SET leased_through = through WHERE t.lease = s.lease;
    END IF;
END;
$$;

-- Delivers a parked stream again: its first event as if for the first time, or, if that is to be skipped, the one after it.
CREATE FUNCTION gavel_unpark(namespace TEXT, consumer TEXT, decider TEXT, decider_id TEXT, skip BOOLEAN) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    c consumers := gavel_consumer($1, $2);
    s consumer_streams;
BEGIN
    SELECT * INTO s FROM consumer_streams AS t
    WHERE t.namespace = $1 AND t.consumer = $2 AND t.decider = $3 AND t.decider_id = $4 AND t.parked_at IS NOT NULL
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stream %/%/% is not parked for consumer %', $1, $3, $4, $2
            USING ERRCODE = 'GV009', DETAIL = json_build_object('consumer', $2);
    END IF;
    IF $5 THEN
        PERFORM gavel_advance(c, s, s.next_version, 1);
    ELSE
        UPDATE consumer_streams AS t SET parked_at = NULL, attempt = 0, available_at = clock_timestamp()
        WHERE t.namespace = $1 AND t.consumer = $2 AND t.decider = $3 AND t.decider_id = $4;
    END IF;
END;
$$;
