-- What is leased at once is bounded in bytes as well: the streams for whose events there is no room stay free.

CREATE OR REPLACE FUNCTION gavel_lease(
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
    -- Most that what is leased at once takes up, in bytes, with so many of each event beside its payload; a single one may be larger.
    most     CONSTANT BIGINT := 524288;
    beside   CONSTANT BIGINT := 600;
    taken    BIGINT := 0;
    is_full  BOOLEAN := FALSE;
    wanted   RECORD;
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
            versions := '{}';
            FOR wanted IN
                SELECT e.version, octet_length(e.data::TEXT) + beside AS size FROM events AS e
                WHERE e.namespace = $1 AND e.decider = s.decider AND e.decider_id = s.decider_id
                  AND e.version BETWEEN s.next_version AND s.last_version AND gavel_wants(c, e)
                ORDER BY e.version
                LIMIT coalesce($5, greatest(1, $4 / cardinality(picked)))
            LOOP
                is_full := taken > 0 AND taken + wanted.size > most;
                EXIT WHEN is_full;
                versions := versions || wanted.version;
                taken := taken + wanted.size;
            END LOOP;
            -- It stays free, and so do those after it.
            EXIT WHEN is_full AND cardinality(versions) = 0;
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
            EXIT WHEN is_full;
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

-- As for all functions of ours, see 0009.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION gavel_lease(TEXT, TEXT, BIGINT, BIGINT, BIGINT, BIGINT) SET search_path = %I, pg_temp', current_schema());
END;
$$;
