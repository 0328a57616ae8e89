-- Who waits for nobody does not wait for the fence of a decider either: what it would have to wait for is refused as `held`.

-- The function is changed where it stands, so that nothing else of it is written down a second time.
DO $$
DECLARE
    definition CONSTANT TEXT := pg_get_functiondef('gavel_append'::REGPROC);
    waiting    CONSTANT TEXT := $part$    IF cardinality(a_decider) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(fences.key)
        FROM (
            SELECT gavel_fence_key(a_namespace[i], a_decider[i]) AS key
            FROM generate_series(1, cardinality(a_decider)) AS i
            ORDER BY key
        ) AS fences;
$part$;
    trying     CONSTANT TEXT := $part$    IF cardinality(a_decider) > 0 THEN
        IF waits THEN
            PERFORM pg_advisory_xact_lock_shared(fences.key)
            FROM (
                SELECT gavel_fence_key(a_namespace[i], a_decider[i]) AS key
                FROM generate_series(1, cardinality(a_decider)) AS i
                ORDER BY key
            ) AS fences;
        ELSE
            held := held || ARRAY(
                SELECT i FROM generate_series(1, part_count) AS i
                WHERE p_fence_at[i] = ANY (ARRAY(
                    SELECT f FROM generate_series(1, cardinality(a_decider)) AS f
                    WHERE NOT pg_try_advisory_xact_lock_shared(gavel_fence_key(a_namespace[f], a_decider[f]))
                ))
            );
        END IF;
$part$;
BEGIN
    IF position(waiting IN definition) = 0 THEN
        RAISE EXCEPTION 'gavel_append is another function than it was';
    END IF;
    EXECUTE replace(definition, waiting, trying);
END;
$$;
