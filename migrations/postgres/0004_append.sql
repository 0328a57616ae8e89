-- The ledger of commands, and the host's append.

-- Every command with all that it was decided on, and its outcome. An index that reads it in order is left to the gate.
CREATE TABLE commands (
    namespace         TEXT COLLATE "C" NOT NULL,
    command_id        UUID             NOT NULL,
    decider           TEXT COLLATE "C" NOT NULL,
    decider_id        TEXT COLLATE "C" NOT NULL,
    command           TEXT             NOT NULL,
    -- JSON rather than JSONB, here and below: to decide again takes the same bytes.
    data              JSON             NOT NULL,
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

-- Appends in one statement and one transaction what has come together. `parts` is an array of objects, one for each part in order:
--
--   append               which append it belongs to; the parts of an append are stored together or not at all, the appends one by one
--   namespace, decider, decider_id   the stream
--   expected             the version that the stream must have, after the parts before this one; null for any
--   expected_previous_id the id that its newest event must have; null for any
--   fence                the number of the activation that decided; null for none
--   ahead                how many events the parts of the append before this one add to the stream
--   ahead_id             the id of the last of them
--   ends_after           how many events after the head the append ends the stream, if this part or an event of it comes later still
--   repeated_command     whether a part of the append before this one has the same command id
--   repeated_event_id    an event id that the append has used before
--   events               objects with the columns of events that the writer chooses; previous_id is null for the first of the part
--   command              an object with the columns of commands, or null; those that are JSON come as texts, which are kept as they are
--
-- No stream, command id or event id may be in two appends of one call.
--
-- Answers with one row for each part in order. `refused` says what is wrong with the part, and `number` and `id` say more:
--
--   fenced             number is the newest activation
--   duplicate-command
--   final              number is the last version of the stream
--   conflict           number is the version of the stream
--   wrong-previous-id  id is the newest event of the stream
--   unregistered       id is the event
--   duplicate-event    id is the event
--
-- If `refused` is NULL in all parts of an append, it is stored: `version` and `previous_id` say what the stream was at before the part,
-- `offsets` has one number per event.
CREATE FUNCTION gavel_append(parts JSONB)
RETURNS TABLE (
    refused        TEXT,
    number         BIGINT,
    id             UUID,
    version        BIGINT,
    previous_id    UUID,
    created_at     TIMESTAMPTZ,
    generation     INTEGER,
    transaction_id XID8,
    offsets        BIGINT[]
)
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    -- One plan, by index, whatever the tables held when it was made.
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    clock      TIMESTAMPTZ;
    writing_in INTEGER;
BEGIN
    -- All locks come first, in one order for everyone, and before there is a transaction id. The next statement sees what has been
    -- committed by those that were waited for.
    PERFORM pg_advisory_xact_lock_shared(fences.key)
    FROM (
        SELECT DISTINCT gavel_fence_key(part.namespace, part.decider) AS key
        FROM jsonb_to_recordset(parts) AS part (namespace TEXT, decider TEXT, fence BIGINT)
        WHERE part.fence IS NOT NULL
        ORDER BY key
    ) AS fences;
    PERFORM pg_advisory_xact_lock(streams.key)
    FROM (
        SELECT DISTINCT gavel_stream_key(part.namespace, part.decider, part.decider_id) AS key
        FROM jsonb_to_recordset(parts) AS part (namespace TEXT, decider TEXT, decider_id TEXT)
        ORDER BY key
    ) AS streams;
    clock := date_trunc('milliseconds', clock_timestamp());
    writing_in := gavel_generation();

    RETURN QUERY
    WITH
    found AS MATERIALIZED (
        SELECT part.*,
               coalesce(head.version, 0) + part.ahead AS version,
               coalesce(part.ahead_id, head.last_event_id) AS previous_id,
               CASE WHEN head.final THEN head.version ELSE coalesce(head.version, 0) + part.ends_after END AS ended,
               greatest(clock, head.updated_at) AS created_at,
               -- Subqueries, which are looked up row by row; a join may be planned as a scan of the whole table.
               (SELECT coalesce(max(a.number), 0) FROM activations AS a
                WHERE a.namespace = part.namespace AND a.decider = part.decider AND part.fence IS NOT NULL) AS activation,
               (SELECT TRUE FROM commands AS c
                WHERE c.namespace = part.namespace AND c.command_id = (part.command ->> 'command_id')::UUID) AS is_known,
               new.unregistered,
               coalesce(part.repeated_event_id, new.taken) AS taken
        FROM ROWS FROM (jsonb_to_recordset(parts) AS (
                append INTEGER, namespace TEXT, decider TEXT, decider_id TEXT, expected BIGINT, expected_previous_id UUID,
                fence BIGINT, ahead BIGINT, ahead_id UUID, ends_after BIGINT, repeated_command BOOLEAN, repeated_event_id UUID,
                events JSONB, command JSONB
             )) WITH ORDINALITY AS part
        LEFT JOIN LATERAL (
            SELECT h.* FROM stream_heads AS h
            WHERE h.namespace = part.namespace AND h.decider = part.decider AND h.decider_id = part.decider_id
            OFFSET 0
        ) AS head ON TRUE
        CROSS JOIN LATERAL (
            SELECT (array_agg(e.event_id) FILTER (WHERE NOT e.is_registered))[1] AS unregistered,
                   (array_agg(e.event_id) FILTER (WHERE e.is_taken))[1] AS taken
            FROM (
                SELECT e.event_id,
                       (SELECT TRUE FROM deciders AS d
                        WHERE d.decider = part.decider AND d.event = e.event AND d.event_version = e.event_version)
                           IS NOT NULL AS is_registered,
                       (SELECT TRUE FROM events AS stored WHERE stored.event_id = e.event_id) AS is_taken
                FROM jsonb_to_recordset(part.events) AS e (event_id UUID, event TEXT, event_version BIGINT)
            ) AS e
        ) AS new
    ),
    judged AS (
        SELECT found.*,
               CASE
                   WHEN found.fence <> found.activation THEN 'fenced'
                   WHEN found.repeated_command OR found.is_known THEN 'duplicate-command'
                   WHEN found.ended IS NOT NULL THEN 'final'
                   WHEN found.expected <> found.version THEN 'conflict'
                   WHEN found.expected_previous_id <> found.previous_id
                       OR found.expected_previous_id IS NOT NULL AND found.previous_id IS NULL THEN 'wrong-previous-id'
                   WHEN found.unregistered IS NOT NULL THEN 'unregistered'
                   WHEN found.taken IS NOT NULL THEN 'duplicate-event'
               END AS refused
        FROM found
    ),
    part AS MATERIALIZED (
        SELECT judged.*, bool_and(judged.refused IS NULL) OVER (PARTITION BY judged.append) AS is_accepted
        FROM judged
    ),
    inserted AS (
        INSERT INTO events (event, event_id, event_version, decider, decider_id, data, command_id, previous_id, final, created_at,
                            namespace, version, tags, metadata, generation)
        -- JSON's null is a payload as any other, but becomes SQL's NULL on the way.
        SELECT e.event, e.event_id, e.event_version, part.decider, part.decider_id, coalesce(e.data, 'null'), e.command_id,
               coalesce(e.previous_id, part.previous_id), e.final, part.created_at,
               part.namespace, part.version + e.ordinality, e.tags, e.metadata, writing_in
        FROM part
        CROSS JOIN LATERAL ROWS FROM (jsonb_to_recordset(part.events) AS (
            event TEXT, event_id UUID, event_version BIGINT, data JSONB, command_id UUID, previous_id UUID, final BOOLEAN,
            tags TEXT[], metadata JSONB
        )) WITH ORDINALITY AS e
        WHERE part.is_accepted
        ORDER BY part.ordinality, e.ordinality
        RETURNING events."offset", events.transaction_id
    ),
    recorded AS (
        INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, actor, metadata,
                              version, module, outcome, events, rejection_code, rejection_message, rejection_data, fuel)
        SELECT part.namespace, c.command_id, part.decider, part.decider_id, c.command, c.data::JSON, c.fingerprint, c.now, c.seed,
               c.actor, c.metadata, c.version, c.module, c.outcome, c.events, c.rejection_code, c.rejection_message,
               c.rejection_data::JSON, c.fuel
        FROM part
        CROSS JOIN LATERAL jsonb_to_record(part.command) AS c (
            command_id UUID, command TEXT, data TEXT, fingerprint BYTEA, now TIMESTAMPTZ, seed BIGINT, actor TEXT, metadata JSONB,
            version BIGINT, module TEXT, outcome TEXT, events BIGINT, rejection_code TEXT, rejection_message TEXT,
            rejection_data TEXT, fuel BIGINT
        )
        WHERE part.is_accepted AND part.command IS NOT NULL
    ),
    stored AS (
        SELECT array_agg(inserted."offset" ORDER BY inserted."offset") AS offsets,
               (array_agg(inserted.transaction_id))[1] AS transaction_id
        FROM inserted
    ),
    counted AS (
        SELECT part.*,
               sum(CASE WHEN part.is_accepted THEN jsonb_array_length(part.events) ELSE 0 END)
                   OVER (ORDER BY part.ordinality) AS stored_through
        FROM part
    )
    SELECT counted.refused,
           CASE counted.refused
               WHEN 'fenced' THEN counted.activation
               WHEN 'final' THEN counted.ended
               WHEN 'conflict' THEN counted.version
           END,
           CASE counted.refused
               WHEN 'wrong-previous-id' THEN counted.previous_id
               WHEN 'unregistered' THEN counted.unregistered
               WHEN 'duplicate-event' THEN counted.taken
           END,
           counted.version,
           counted.previous_id,
           counted.created_at,
           writing_in,
           stored.transaction_id,
           stored.offsets[counted.stored_through - jsonb_array_length(counted.events) + 1 : counted.stored_through]
    FROM counted
    CROSS JOIN stored
    ORDER BY counted.ordinality;
END;
$$;
