-- The ledger of commands, and the host's append.

-- Every command with all that it was decided on, and its outcome.
CREATE TABLE commands (
    namespace         TEXT COLLATE "C" NOT NULL,
    command_id        UUID             NOT NULL,
    decider           TEXT COLLATE "C" NOT NULL,
    decider_id        TEXT COLLATE "C" NOT NULL,
    command           TEXT             NOT NULL,
    -- JSON rather than JSONB, here and below: to decide again takes the same bytes. NULL where the ledger keeps keys only.
    data              JSON,
    fingerprint       BYTEA            NOT NULL,
    -- The time that the decider saw.
    now               TIMESTAMPTZ      NOT NULL,
    -- The random number that the decider saw: its 64 bits, taken as signed.
    seed              BIGINT           NOT NULL,
    actor             TEXT,
    metadata          JSONB            NOT NULL,
    -- The version that was decided at.
    version           BIGINT           NOT NULL,
    -- The digest of the module that decided.
    module            TEXT COLLATE "C" NOT NULL,
    outcome           TEXT             NOT NULL,
    -- How many events came of it.
    events            BIGINT           NOT NULL DEFAULT 0,
    rejection_code    TEXT,
    rejection_message TEXT,
    rejection_data    JSON,
    -- As seed: 64 bits.
    fuel              BIGINT           NOT NULL,
    CONSTRAINT commands_pkey PRIMARY KEY (namespace, command_id),
    CONSTRAINT commands_fingerprint_check CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT commands_outcome_check CHECK (
        outcome = 'accepted' AND num_nonnulls(rejection_code, rejection_message, rejection_data) = 0
        OR outcome = 'rejected' AND num_nulls(rejection_code, rejection_message) = 0 AND events = 0
    )
);

-- The commands that have left no event, in the order of their streams. The others are found by way of their events, and cost nothing here.
CREATE INDEX commands_eventless_idx ON commands (namespace, decider, decider_id, version, command_id) WHERE events = 0;

-- Appends in one statement and one transaction what has come together. The arguments are columns: what has the same prefix and the same
-- index belongs together.
--
--   waits   whether to wait for streams that somebody else is writing to; if not, what appends to them is refused as `held`
--
--   p_      the parts, and with them their rows of the ledger
--     append                          which append it belongs to; the parts of an append are stored together or not at all, the appends one by one
--     namespace, decider, decider_id  the stream
--     expected                        the version that the stream must have, after the parts before this one; NULL for any
--     expected_previous_id            the id that its newest event must have; NULL for any
--     fence                           the number of the activation that decided, and fence_at its place in a_; NULL for none
--     ahead                           how many events the parts of the append before this one add to the stream, and ahead_id the id of the last
--     ends_after                      how many events after the head the append ends the stream, if this part or an event of it comes later still
--     repeats_command                 whether a part of the append before this one has the same command id
--     repeated_event_id               an event id that the append has used before
--   c_      the columns of commands, one for each part; command_id is NULL where there is none
--   e_      the columns of events that the writer chooses, in the order of the parts
--     part                            its part, and nth its place in that: 1, 2, 3 …
--     kind                            its place in k_
--     previous_id                     NULL for the first of its part
--     tags                            a JSON array; NULL for none
--   a_      each pair of namespace and decider that a fence is for, once
--   k_      each kind of event, once
--
-- No stream, command id or event id may be in two appends of one call.
--
-- Answers with one element for each part. `refused` says what is wrong with the part, and `number` and `id` say more:
--
--   held
--   fenced             number is the newest activation
--   duplicate-command
--   final              number is the last version of the stream
--   conflict           number is the version of the stream
--   wrong-previous-id  id is the newest event of the stream
--   unregistered       id is the event
--   duplicate-event    id is the event
--
-- If `refused` is NULL in all parts of an append, it is stored: `version` and `previous_id` say what the stream was at before the part.
-- `offsets` has one element for each event that is stored.
CREATE FUNCTION gavel_append(
    waits                  BOOLEAN,
    p_append               INTEGER[],
    p_namespace            TEXT[],
    p_decider              TEXT[],
    p_decider_id           TEXT[],
    p_expected             BIGINT[],
    p_expected_previous_id UUID[],
    p_fence                BIGINT[],
    p_fence_at             INTEGER[],
    p_ahead                BIGINT[],
    p_ahead_id             UUID[],
    p_ends_after           BIGINT[],
    p_repeats_command      BOOLEAN[],
    p_repeated_event_id    UUID[],
    c_command_id           UUID[],
    c_command              TEXT[],
    c_data                 TEXT[],
    c_fingerprint          BYTEA[],
    c_now                  TIMESTAMPTZ[],
    c_seed                 BIGINT[],
    c_actor                TEXT[],
    c_metadata             JSONB[],
    c_version              BIGINT[],
    c_module               TEXT[],
    c_outcome              TEXT[],
    c_events               BIGINT[],
    c_rejection_code       TEXT[],
    c_rejection_message    TEXT[],
    c_rejection_data       TEXT[],
    c_fuel                 BIGINT[],
    e_part                 INTEGER[],
    e_nth                  BIGINT[],
    e_kind                 INTEGER[],
    e_event_id             UUID[],
    e_data                 JSONB[],
    e_command_id           UUID[],
    e_previous_id          UUID[],
    e_final                BOOLEAN[],
    e_tags                 TEXT[],
    e_metadata             JSONB[],
    a_namespace            TEXT[],
    a_decider              TEXT[],
    k_decider              TEXT[],
    k_event                TEXT[],
    k_event_version        BIGINT[],
    OUT refused            TEXT[],
    OUT number             BIGINT[],
    OUT id                 UUID[],
    OUT version            BIGINT[],
    OUT previous_id        UUID[],
    OUT created_at         TIMESTAMPTZ[],
    OUT generation         INTEGER,
    OUT transaction_id     XID8,
    OUT offsets            BIGINT[]
)
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    -- One plan, by index, whatever the tables held when it was made. For the same reason what is looked up is a subquery, which is run
    -- row by row: a join may be planned as a scan of the whole table.
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
DECLARE
    part_count   CONSTANT INTEGER := cardinality(p_append);
    event_count  CONSTANT INTEGER := cardinality(e_part);
    clock        TIMESTAMPTZ;
    -- The newest activation for each of a_.
    newest       BIGINT[];
    -- Rarely anything but NULL: parts and events that are at fault, and the appends that are therefore left out.
    held         INTEGER[];
    unregistered INTEGER[];
    taken        INTEGER[];
    left_out     INTEGER[];
BEGIN
    -- All locks come first and before there is a transaction id: streams, then fences, each in one order for everyone. The next statement
    -- sees what has been committed by those that were waited for. Who does not wait for streams can take them in any order.
    IF waits THEN
        PERFORM pg_advisory_xact_lock(streams.key)
        FROM (
            SELECT DISTINCT gavel_stream_key(p_namespace[i], p_decider[i], p_decider_id[i]) AS key
            FROM generate_series(1, part_count) AS i
            ORDER BY key
        ) AS streams;
    ELSE
        held := (
            SELECT array_agg(i) FROM generate_series(1, part_count) AS i
            WHERE NOT pg_try_advisory_xact_lock(gavel_stream_key(p_namespace[i], p_decider[i], p_decider_id[i]))
        );
    END IF;
    IF cardinality(a_decider) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(fences.key)
        FROM (
            SELECT gavel_fence_key(a_namespace[i], a_decider[i]) AS key
            FROM generate_series(1, cardinality(a_decider)) AS i
            ORDER BY key
        ) AS fences;
        newest := (
            SELECT array_agg((
                SELECT coalesce(max(a.number), 0) FROM activations AS a
                WHERE a.namespace = a_namespace[i] AND a.decider = a_decider[i]
            ) ORDER BY i)
            FROM generate_series(1, cardinality(a_decider)) AS i
        );
    END IF;
    IF event_count > 0 THEN
        unregistered := (
            SELECT array_agg(i) FROM generate_series(1, cardinality(k_event)) AS i
            WHERE (
                SELECT TRUE FROM deciders AS d
                WHERE d.decider = k_decider[i] AND d.event = k_event[i] AND d.event_version = k_event_version[i]
            ) IS NULL
        );
        taken := (
            SELECT array_agg(i) FROM generate_series(1, event_count) AS i
            WHERE (SELECT TRUE FROM events AS stored WHERE stored.event_id = e_event_id[i])
        );
    END IF;
    clock := date_trunc('milliseconds', clock_timestamp());

    SELECT array_agg(judged.refused),
           array_agg(CASE judged.refused
               WHEN 'fenced' THEN judged.activation
               WHEN 'final' THEN judged.ended
               WHEN 'conflict' THEN judged.version
           END),
           array_agg(CASE judged.refused
               WHEN 'wrong-previous-id' THEN judged.previous_id
               WHEN 'unregistered' THEN judged.unregistered
               WHEN 'duplicate-event' THEN judged.taken
           END),
           array_agg(judged.version),
           array_agg(judged.previous_id),
           array_agg(judged.created_at),
           array_agg(p_append[judged.i]) FILTER (WHERE judged.refused IS NOT NULL)
    INTO refused, number, id, version, previous_id, created_at, left_out
    FROM (
        SELECT found.*,
               CASE
                   WHEN found.i = ANY (held) THEN 'held'
                   WHEN p_fence[found.i] <> found.activation THEN 'fenced'
                   WHEN p_repeats_command[found.i] OR found.is_known THEN 'duplicate-command'
                   WHEN found.ended IS NOT NULL THEN 'final'
                   WHEN p_expected[found.i] <> found.version THEN 'conflict'
                   WHEN p_expected_previous_id[found.i] <> found.previous_id
                       OR p_expected_previous_id[found.i] IS NOT NULL AND found.previous_id IS NULL THEN 'wrong-previous-id'
                   WHEN found.unregistered IS NOT NULL THEN 'unregistered'
                   WHEN found.taken IS NOT NULL THEN 'duplicate-event'
               END AS refused
        FROM (
            SELECT part.i,
                   newest[p_fence_at[part.i]] AS activation,
                   (
                       SELECT TRUE FROM commands AS c
                       WHERE c.namespace = p_namespace[part.i] AND c.command_id = c_command_id[part.i]
                   ) AS is_known,
                   CASE WHEN head.final THEN head.version
                        ELSE coalesce(head.version, 0) + p_ends_after[part.i] END AS ended,
                   coalesce(head.version, 0) + p_ahead[part.i] AS version,
                   coalesce(p_ahead_id[part.i], head.last_event_id) AS previous_id,
                   greatest(clock, head.updated_at) AS created_at,
                   CASE WHEN unregistered IS NOT NULL THEN (
                       SELECT e_event_id[e] FROM generate_series(1, event_count) AS e
                       WHERE e_part[e] = part.i AND e_kind[e] = ANY (unregistered)
                       LIMIT 1
                   ) END AS unregistered,
                   coalesce(p_repeated_event_id[part.i], CASE WHEN taken IS NOT NULL THEN (
                       SELECT e_event_id[e] FROM unnest(taken) AS e
                       WHERE e_part[e] = part.i
                       LIMIT 1
                   ) END) AS taken
            FROM generate_series(1, part_count) AS part (i)
            LEFT JOIN LATERAL (
                SELECT h.* FROM stream_heads AS h
                WHERE h.namespace = p_namespace[part.i] AND h.decider = p_decider[part.i] AND h.decider_id = p_decider_id[part.i]
                OFFSET 0
            ) AS head ON TRUE
            ORDER BY part.i
            OFFSET 0
        ) AS found
    ) AS judged;

    -- A host has called gavel_generation() on each connection, and no server turns into another.
    generation := (SELECT max(g.generation) FROM generations AS g);
    -- A stream that was not locked by its writer may have moved since it was judged: then a unique constraint refuses the call.
    WITH inserted AS (
        INSERT INTO events (event, event_id, event_version, decider, decider_id, data, command_id, previous_id, final, created_at,
                            namespace, version, tags, metadata, generation)
        SELECT k_event[e_kind[i]], e_event_id[i], k_event_version[e_kind[i]], p_decider[e_part[i]], p_decider_id[e_part[i]],
               e_data[i], e_command_id[i], coalesce(e_previous_id[i], previous_id[e_part[i]]), e_final[i], created_at[e_part[i]],
               p_namespace[e_part[i]], version[e_part[i]] + e_nth[i],
               CASE WHEN e_tags[i] IS NULL THEN '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(e_tags[i]::JSONB)) END,
               e_metadata[i], generation
        FROM generate_series(1, event_count) AS i
        WHERE left_out IS NULL OR p_append[e_part[i]] <> ALL (left_out)
        ORDER BY i
        RETURNING events."offset", events.transaction_id
    )
    SELECT array_agg(inserted."offset" ORDER BY inserted."offset"), (array_agg(inserted.transaction_id))[1]
    INTO offsets, transaction_id
    FROM inserted;

    INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, actor, metadata,
                          version, module, outcome, events, rejection_code, rejection_message, rejection_data, fuel)
    SELECT p_namespace[i], c_command_id[i], p_decider[i], p_decider_id[i], c_command[i], c_data[i]::JSON, c_fingerprint[i], c_now[i],
           c_seed[i], c_actor[i], c_metadata[i], c_version[i], c_module[i], c_outcome[i], c_events[i], c_rejection_code[i],
           c_rejection_message[i], c_rejection_data[i]::JSON, c_fuel[i]
    FROM generate_series(1, part_count) AS i
    WHERE c_command_id[i] IS NOT NULL AND (left_out IS NULL OR p_append[i] <> ALL (left_out));
END;
$$;
