-- A slim append: an event is checked once, by the statement that inserts it; what can be found again is not stored; and a batch leaves out what is refused.

-- Hosts of before know another gavel_append, and find nothing of what is not stored any more.
CREATE OR REPLACE FUNCTION gavel_schema_floor() RETURNS BIGINT
    LANGUAGE sql STABLE
AS $$ SELECT 37::BIGINT $$;

-- The activation whose module has decided. Where it is named, `metadata` lacks what gavel_metadata adds.
ALTER TABLE events ADD COLUMN activation INTEGER;

-- The same in the ledger. `module` has the digest where that is not the one of an activation.
ALTER TABLE commands
    ADD COLUMN activation INTEGER,
    ALTER COLUMN module DROP NOT NULL;

-- The metadata of an event for which nobody has named a cause: the command itself.
CREATE FUNCTION gavel_causes(command_id UUID) RETURNS JSONB
    LANGUAGE sql STABLE
AS $$ SELECT jsonb_build_object('correlation_id', $1, 'causation_id', $1) $$;

-- The whole metadata of an event: `module` is the digest of the activation's module. Who may read events need not be allowed to read activations. A number
-- that means no module, as a writer of plain SQL may have given it, adds nothing.
CREATE FUNCTION gavel_metadata(e events) RETURNS JSONB
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
    SELECT coalesce(
        (
            SELECT gavel_causes(e.command_id) || e.metadata || jsonb_build_object('module', a.digest)
            FROM activations AS a
            WHERE a.namespace = e.namespace AND a.kind = 'decider' AND a.name = e.decider AND a.number = e.activation AND a.digest IS NOT NULL
        ),
        e.metadata
    )
$$;

-- The same event with its whole metadata.
CREATE FUNCTION gavel_whole_event(e events) RETURNS events
    LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT
AS $$
BEGIN
    e.metadata := gavel_metadata(e);
    RETURN e;
END;
$$;

CREATE OR REPLACE FUNCTION get_events(decider_id TEXT, decider TEXT, namespace TEXT DEFAULT 'default') RETURNS SETOF events
    LANGUAGE sql STABLE
    SET search_path FROM CURRENT
AS $$
    SELECT gavel_whole_event(e) FROM events AS e
    WHERE e.namespace = $3 AND e.decider = $2 AND e.decider_id = $1
    ORDER BY e.version;
$$;

CREATE OR REPLACE FUNCTION get_last_event(decider_id TEXT, decider TEXT, namespace TEXT DEFAULT 'default') RETURNS SETOF events
    LANGUAGE sql STABLE
    SET search_path FROM CURRENT
AS $$
    SELECT gavel_whole_event(e) FROM events AS e
    WHERE e.namespace = $3 AND e.decider = $2 AND e.decider_id = $1
    ORDER BY e.version DESC
    LIMIT 1;
$$;

-- The function is changed where it stands, so that nothing else of it is written down a second time.
DO $$
DECLARE
    definition CONSTANT TEXT := pg_get_functiondef('stream_events'::REGPROC);
    stored     CONSTANT TEXT := 'FROM (SELECT (part.recorded).*) AS e';
    whole      CONSTANT TEXT := 'FROM gavel_whole_event(part.recorded) AS e';
BEGIN
    IF position(stored IN definition) = 0 THEN
        RAISE EXCEPTION 'stream_events is another function than it was';
    END IF;
    EXECUTE replace(definition, stored, whole);
END;
$$;

-- The newest event of a stream is the newest row of the stream's index. What differs most comes first in it: so one column is compared, and not three that
-- are mostly the same. Streams are listed by their first events.
ALTER TABLE events
    DROP CONSTRAINT events_stream_version_key,
    ADD CONSTRAINT events_stream_version_key UNIQUE (decider_id, decider, namespace, version),
    -- It follows from (stream, version), and from the event before being looked at.
    DROP CONSTRAINT events_previous_id_key;
CREATE INDEX events_stream_idx ON events (namespace, decider, decider_id) WHERE previous_id IS NULL;

ALTER TABLE stream_heads RENAME TO stream_heads_before;

-- The newest end of each stream; that of one stream takes two steps, whatever its length.
CREATE VIEW stream_heads AS
SELECT first.namespace, first.decider, first.decider_id, newest.version, newest.event_id AS last_event_id, newest.final,
       newest.created_at AS updated_at
FROM events AS first
CROSS JOIN LATERAL (
    SELECT e.version, e.event_id, e.final, e.created_at FROM events AS e
    WHERE e.namespace = first.namespace AND e.decider = first.decider AND e.decider_id = first.decider_id
    ORDER BY e.version DESC
    LIMIT 1
) AS newest
WHERE first.previous_id IS NULL;

-- Who could read the heads can go on.
DO $$
DECLARE
    reader OID;
BEGIN
    FOR reader IN
        SELECT granted.grantee FROM pg_class AS c, aclexplode(c.relacl) AS granted
        WHERE c.oid = 'stream_heads_before'::REGCLASS AND granted.privilege_type = 'SELECT' AND granted.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON stream_heads TO %s', CASE reader WHEN 0 THEN 'PUBLIC' ELSE reader::REGROLE::TEXT END);
    END LOOP;
END;
$$;

DROP TABLE stream_heads_before;

-- CHECKs are read from the catalogue by every statement that inserts, and so are short. What they call is called for few rows.
CREATE FUNCTION gavel_names_stream(namespace TEXT, decider_id TEXT) RETURNS BOOLEAN
    LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN namespace ~ '^[a-z0-9][a-z0-9-]{0,62}$'
        AND octet_length(decider_id) BETWEEN 1 AND 255
        AND decider_id !~ '[\u0001-\u001f\u007f-\u009f]'
        AND decider_id NOT IN ('activations', 'deactivations', 'logs', 'openapi.json', 'rehearsals', 'rollback', 'streams');
END;
$$;

CREATE FUNCTION gavel_is_text_by_text(metadata JSONB) RETURNS BOOLEAN
    LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN jsonb_typeof(metadata) = 'object' AND NOT jsonb_path_exists(metadata, '$.* ? (@.type() != "string")');
END;
$$;

-- The rows that are there have been checked for the same.
ALTER TABLE events
    DROP CONSTRAINT events_stream_check,
    ADD CONSTRAINT events_stream_check CHECK (version > 1 OR gavel_names_stream(namespace, decider_id)) NOT VALID,
    DROP CONSTRAINT events_metadata_check,
    ADD CONSTRAINT events_metadata_check CHECK (metadata = '{}' OR gavel_is_text_by_text(metadata)) NOT VALID,
    DROP CONSTRAINT events_tags_check,
    ADD CONSTRAINT events_tags_check CHECK (cardinality(tags) = 0 OR array_position(tags, NULL) IS NULL) NOT VALID,
    -- The statement's check does it, once for each kind of event and not for each event. The registry only grows.
    DROP CONSTRAINT events_decider_event_event_version_fkey;

-- Tells a writer who names the version, and follows an event that has been followed, what who leaves it out is told.
CREATE FUNCTION gavel_refuse_fork() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM events AS e
        WHERE e.namespace = NEW.namespace AND e.decider = NEW.decider AND e.decider_id = NEW.decider_id
          AND e.version = NEW.version AND e.previous_id = NEW.previous_id
    ) THEN
        RAISE EXCEPTION 'stream %/%/% is past version %', NEW.namespace, NEW.decider, NEW.decider_id, NEW.version - 1
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'events_previous_id_key';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER events_fork
    BEFORE INSERT ON events
    FOR EACH ROW WHEN (NEW.version > 1 AND NEW.activation IS NULL)
    EXECUTE FUNCTION gavel_refuse_fork();

-- Holds every inserted row to the event before it and to the registry. Once per statement, so that it costs a batch little; one index probe per event,
-- whatever the length of its stream. That nothing forks is up to the unique constraint.
CREATE OR REPLACE FUNCTION gavel_check_events() RETURNS TRIGGER
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
DECLARE
    unregistered RECORD;
    fault        RECORD;
BEGIN
    SELECT kind.* INTO unregistered
    FROM (SELECT DISTINCT added.decider, added.event, added.event_version FROM added OFFSET 0) AS kind
    WHERE NOT EXISTS (
        SELECT FROM deciders AS d
        WHERE d.decider = kind.decider AND d.event = kind.event AND d.event_version = kind.event_version
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event % with version % is not registered for decider %', unregistered.event, unregistered.event_version, unregistered.decider
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'events_decider_event_event_version_fkey', DETAIL = row_to_json(unregistered);
    END IF;

    SELECT format('%s/%s/%s', added.namespace, added.decider, added.decider_id) AS stream,
           added.version,
           previous.version AS previous_version,
           previous.final AS follows_final,
           added.version IS NOT DISTINCT FROM previous.version + 1
               AND (added.namespace, added.decider, added.decider_id)
                   = (previous.namespace, previous.decider, previous.decider_id) AS follows,
           (added.generation, added.transaction_id)
               = ((SELECT max(generation) FROM generations), pg_current_xact_id()) AS is_placed,
           (previous.generation, previous.transaction_id) > (added.generation, added.transaction_id) AS overtakes
    INTO fault
    FROM added
    LEFT JOIN events AS previous ON previous.event_id = added.previous_id
    WHERE added.transaction_id <> pg_current_xact_id()
       OR added.generation <> (SELECT max(generation) FROM generations)
       OR added.created_at > greatest(clock_timestamp(), previous.created_at)
       OR added.previous_id IS NOT NULL AND (
              previous.event_id IS NULL
           OR added.version <> previous.version + 1
           OR (added.namespace, added.decider, added.decider_id)
              <> (previous.namespace, previous.decider, previous.decider_id)
           OR previous.final
           OR added.created_at < previous.created_at
           OR (previous.generation, previous.transaction_id, previous."offset")
              >= (added.generation, added.transaction_id, added."offset"))
    LIMIT 1;
    IF FOUND THEN
        CASE
            WHEN fault.version > 1 AND fault.follows IS NOT TRUE THEN
                RAISE EXCEPTION 'previous_id is not the event before version % of stream %', fault.version, fault.stream
                    USING ERRCODE = 'GV001', DETAIL = json_build_object('version', fault.version);
            WHEN fault.follows_final THEN
                RAISE EXCEPTION 'stream % has ended with version %', fault.stream, fault.previous_version
                    USING ERRCODE = 'GV002', DETAIL = json_build_object('version', fault.previous_version);
            WHEN fault.is_placed AND fault.overtakes THEN
                -- This transaction had its id before the writer of the previous event had one. The log would show the two events in the
                -- wrong order; begun again, this transaction comes after.
                RAISE EXCEPTION 'stream % was appended to by a transaction that began later', fault.stream
                    USING ERRCODE = 'serialization_failure';
            ELSE
                RAISE EXCEPTION 'created_at, "offset", transaction_id and generation are up to the database'
                    USING ERRCODE = 'GV004', DETAIL = json_build_object('version', fault.version);
        END CASE;
    END IF;
    RETURN NULL;
END;
$$;

-- Hosts of before, which call it with other arguments, are told why they store nothing any more.
DO $$
DECLARE
    definition CONSTANT TEXT := pg_get_functiondef('gavel_append'::REGPROC);
BEGIN
    EXECUTE left(definition, position('AS $function$' IN definition) - 1) || 'AS $refusal$ BEGIN PERFORM gavel_require_schema(schema); END; $refusal$';
END;
$$;

-- Appends in one call and one transaction what has come together. The arguments are columns: what has the same prefix and the same index belongs together,
-- and places begin with 1. Of p_, c_ and e_ numbers, ids and times are never NULL, so that they are found by their place in one step. A column of nothing but NULL may be empty.
--
--   schema  the migration that the host knows
--   waits   whether to wait for streams that somebody else is writing to; if not, what appends to them is refused as `held`
--   doubts  whether to look up the ids of commands and events before they are stored. Ids are new as a rule: one that is not breaks a unique constraint, and
--           the call is made again with doubts
--
--   t_      where parts belong, and what they depend on: each combination once
--     namespace, decider
--     kind, number                    the activation that must be the newest; NULL and -1 for none
--     digest                          the module that decided; NULL for none
--   k_      each kind of event, once
--   p_      the parts
--     append                          which append it belongs to; the parts of an append are stored together or not at all, the appends one by one
--     target                          its place in t_
--     decider_id
--     expected                        the version that the stream must have, after the parts before this one; -1 for any
--     expected_previous_id            the id that its newest event must have; 0 for any
--     since                           a version that the stream has had, so that nothing older is looked at
--   s_      what the parts before a part mean to it; empty if each append has one part that ends no stream midway
--     ahead                           how many events they add to the stream, and ahead_id the id of the last; NULL for none
--     ends_after                      how many events after the head the append ends the stream, if this part or an event of it comes later still; NULL for never
--     repeats_command                 whether one of them has the same command id
--     repeated_event_id               an event id that the append has used before; NULL for none
--   c_      the columns of commands
--     part                            its part
--     name                            its place in n_command
--     rejection                       its place in r_; 0 for none
--   e_      the columns of events that the writer chooses, in the order of the parts
--     part                            its part, and nth its place in that: 1, 2, 3 …
--     kind                            its place in k_
--     tags                            a JSON array; NULL for none
--     metadata                        NULL for none; where is_lean is TRUE, what gavel_metadata adds is left out
--
-- No stream, command id or event id may be in two appends of one call.
--
-- Answers with one element for each part. `refused`, which is NULL if nothing is, says what is wrong with the part, and `number` and `id` say more:
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
-- If nothing is wrong with any part of an append, it is stored: `version` and `previous_id` say what the stream was at before the part.
-- `offsets` has one element for each event that is stored.
CREATE FUNCTION gavel_append(
    schema                 BIGINT,
    waits                  BOOLEAN,
    doubts                 BOOLEAN,
    t_namespace            TEXT[],
    t_decider              TEXT[],
    t_kind                 TEXT[],
    t_number               BIGINT[],
    t_digest               TEXT[],
    k_decider              TEXT[],
    k_event                TEXT[],
    k_event_version        BIGINT[],
    p_append               INTEGER[],
    p_target               INTEGER[],
    p_decider_id           TEXT[],
    p_expected             BIGINT[],
    p_expected_previous_id UUID[],
    p_since                BIGINT[],
    s_ahead                BIGINT[],
    s_ahead_id             UUID[],
    s_ends_after           BIGINT[],
    s_repeats_command      BOOLEAN[],
    s_repeated_event_id    UUID[],
    n_command              TEXT[],
    r_code                 TEXT[],
    r_message              TEXT[],
    r_data                 TEXT[],
    c_part                 INTEGER[],
    c_command_id           UUID[],
    c_name                 INTEGER[],
    c_data                 TEXT[],
    c_fingerprint          BYTEA[],
    c_now                  TIMESTAMPTZ[],
    c_seed                 BIGINT[],
    c_actor                TEXT[],
    c_metadata             JSONB[],
    c_version              BIGINT[],
    c_events               BIGINT[],
    c_rejection            INTEGER[],
    c_fuel                 BIGINT[],
    e_part                 INTEGER[],
    e_nth                  BIGINT[],
    e_kind                 INTEGER[],
    e_event_id             UUID[],
    e_data                 JSONB[],
    e_command_id           UUID[],
    e_final                BOOLEAN[],
    e_tags                 TEXT[],
    e_metadata             JSONB[],
    e_is_lean              BOOLEAN[],
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
    -- row by row, in the order of its parts: a join may be planned as a scan of the whole table.
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
DECLARE
    none         CONSTANT UUID := '00000000-0000-0000-0000-000000000000';
    clock        TIMESTAMPTZ;
    -- For each target: the newest activation, and its number again if it is the one that decided.
    newest       BIGINT[];
    activation   INTEGER[];
    is_stale     BOOLEAN;
    looks_up     BOOLEAN;
    -- Rarely anything but NULL: parts, targets and kinds of event at fault, parts whose command is known, events whose ids
    -- are taken, and the appends that are therefore left out.
    held         INTEGER[];
    held_targets INTEGER[];
    unregistered INTEGER[];
    known        INTEGER[];
    taken        INTEGER[];
    left_out     INTEGER[];
BEGIN
    IF schema < gavel_schema_floor() THEN
        PERFORM gavel_require_schema(schema);
    END IF;
    -- All locks come first and before there is a transaction id: streams, then fences, each in one order for everyone. The next statement
    -- sees what has been committed by those that were waited for. Who does not wait can take them in any order.
    IF waits THEN
        PERFORM pg_advisory_xact_lock(streams.key)
        FROM (
            SELECT DISTINCT gavel_stream_key(t_namespace[p_target[p.i]], t_decider[p_target[p.i]], p.decider_id) AS key
            FROM unnest(p_decider_id) WITH ORDINALITY AS p (decider_id, i)
            ORDER BY key
        ) AS streams;
        PERFORM pg_advisory_xact_lock_shared(fences.key)
        FROM (
            SELECT DISTINCT gavel_fence_key(t_namespace[i], t_kind[i], t_decider[i]) AS key
            FROM generate_series(1, cardinality(t_decider)) AS i
            WHERE t_kind[i] IS NOT NULL
            ORDER BY key
        ) AS fences;
    ELSE
        SELECT (
            SELECT array_agg(p.i) FROM unnest(p_decider_id) WITH ORDINALITY AS p (decider_id, i)
            WHERE NOT pg_try_advisory_xact_lock(gavel_stream_key(t_namespace[p_target[p.i]], t_decider[p_target[p.i]], p.decider_id))
        ), (
            SELECT array_agg(i) FROM generate_series(1, cardinality(t_decider)) AS i
            WHERE t_kind[i] IS NOT NULL AND NOT pg_try_advisory_xact_lock_shared(gavel_fence_key(t_namespace[i], t_kind[i], t_decider[i]))
        )
        INTO held, held_targets;
    END IF;

    -- A host has called gavel_generation() on each connection, and no server turns into another.
    SELECT array_agg(coalesce(a.number, 0)),
           array_agg(CASE WHEN t_kind[i] = 'decider' AND a.number = t_number[i] AND a.digest = t_digest[i] AND a.number <= 2147483647 THEN a.number END),
           bool_or(t_number[i] <> coalesce(a.number, 0) AND t_kind[i] IS NOT NULL),
           (
               SELECT array_agg(k) FROM generate_series(1, cardinality(k_decider)) AS k
               WHERE NOT EXISTS (
                   SELECT FROM deciders AS d
                   WHERE d.decider = k_decider[k] AND d.event = k_event[k] AND d.event_version = k_event_version[k]
               )
           ),
           (SELECT max(g.generation) FROM generations AS g)
    INTO newest, activation, is_stale, unregistered, generation
    FROM generate_series(1, cardinality(t_decider)) AS i
    LEFT JOIN LATERAL (
        SELECT a.number, a.digest FROM activations AS a
        WHERE a.namespace = t_namespace[i] AND a.kind = t_kind[i] AND a.name = t_decider[i]
        ORDER BY a.number DESC
        LIMIT 1
    ) AS a ON TRUE;
    clock := date_trunc('milliseconds', clock_timestamp());

    -- Nearly always each part is of an append of its own, and nothing is wrong with it.
    IF cardinality(s_ahead) = 0 THEN
        SELECT array_agg(coalesce(head.version, 0)), array_agg(head.event_id), array_agg(greatest(clock, head.created_at)),
               array_agg(p_append[p.i]) FILTER (
                   WHERE head.final
                      OR p_expected[p.i] <> coalesce(head.version, 0) AND p_expected[p.i] >= 0
                      OR p_expected_previous_id[p.i] <> coalesce(head.event_id, none) AND p_expected_previous_id[p.i] <> none
                      OR head.version IS NULL AND p_since[p.i] > 0
               )
        INTO version, previous_id, created_at, left_out
        FROM unnest(p_decider_id) WITH ORDINALITY AS p (decider_id, i)
        LEFT JOIN LATERAL (
            SELECT e.version, e.event_id, e.final, e.created_at FROM events AS e
            WHERE e.namespace = t_namespace[p_target[p.i]] AND e.decider = t_decider[p_target[p.i]] AND e.decider_id = p.decider_id
              AND e.version >= p_since[p.i]
            ORDER BY e.version DESC
            LIMIT 1
        ) AS head ON TRUE;
    END IF;
    looks_up := left_out IS NOT NULL OR is_stale OR doubts OR num_nonnulls(held, held_targets, unregistered) > 0;

    -- Otherwise each part is judged by itself, and whose ids are in use is looked up if any is refused: a command that is known comes before most else.
    WHILE looks_up OR cardinality(s_ahead) > 0 LOOP
        IF looks_up THEN
            taken := (
                SELECT array_agg(i) FROM generate_series(1, cardinality(e_part)) AS i
                WHERE EXISTS (SELECT FROM events AS stored WHERE stored.event_id = e_event_id[i])
            );
            known := (
                SELECT array_agg(c_part[i]) FROM generate_series(1, cardinality(c_part)) AS i
                WHERE EXISTS (
                    SELECT FROM commands AS stored
                    WHERE stored.namespace = t_namespace[p_target[c_part[i]]] AND stored.command_id = c_command_id[i]
                )
            );
        END IF;
        SELECT array_agg(judged.version), array_agg(judged.previous_id), array_agg(judged.created_at),
               array_agg(p_append[judged.i]) FILTER (WHERE judged.refused IS NOT NULL),
               array_agg(judged.refused),
               array_agg(CASE judged.refused
                   WHEN 'fenced' THEN judged.activation
                   WHEN 'final' THEN judged.ended
                   WHEN 'conflict' THEN judged.version
               END),
               array_agg(CASE judged.refused
                   WHEN 'wrong-previous-id' THEN judged.previous_id
                   WHEN 'unregistered' THEN judged.unregistered
                   WHEN 'duplicate-event' THEN judged.taken
               END)
        INTO version, previous_id, created_at, left_out, refused, number, id
        FROM (
            SELECT found.*,
                   CASE
                       WHEN found.i = ANY (held) OR p_target[found.i] = ANY (held_targets) THEN 'held'
                       WHEN t_number[p_target[found.i]] <> found.activation THEN 'fenced'
                       WHEN s_repeats_command[found.i] OR found.is_known THEN 'duplicate-command'
                       WHEN found.ended IS NOT NULL THEN 'final'
                       WHEN p_expected[found.i] <> found.version AND p_expected[found.i] >= 0 THEN 'conflict'
                       WHEN p_expected_previous_id[found.i] <> coalesce(found.previous_id, none) AND p_expected_previous_id[found.i] <> none
                           THEN 'wrong-previous-id'
                       WHEN found.unregistered IS NOT NULL THEN 'unregistered'
                       WHEN found.taken IS NOT NULL THEN 'duplicate-event'
                   END AS refused
            FROM (
                SELECT p.i,
                       CASE WHEN t_kind[p_target[p.i]] IS NOT NULL THEN newest[p_target[p.i]] END AS activation,
                       p.i = ANY (known) AS is_known,
                       CASE WHEN head.final THEN head.version
                            ELSE coalesce(head.version, 0) + s_ends_after[p.i] END AS ended,
                       coalesce(head.version, 0) + coalesce(s_ahead[p.i], 0) AS version,
                       coalesce(s_ahead_id[p.i], head.event_id) AS previous_id,
                       greatest(clock, head.created_at) AS created_at,
                       CASE WHEN unregistered IS NOT NULL THEN (
                           SELECT e_event_id[e] FROM generate_series(1, cardinality(e_part)) AS e
                           WHERE e_part[e] = p.i AND e_kind[e] = ANY (unregistered)
                           LIMIT 1
                       ) END AS unregistered,
                       coalesce(s_repeated_event_id[p.i], CASE WHEN taken IS NOT NULL THEN (
                           SELECT e_event_id[e] FROM unnest(taken) AS e
                           WHERE e_part[e] = p.i
                           LIMIT 1
                       ) END) AS taken
                FROM unnest(p_decider_id) WITH ORDINALITY AS p (decider_id, i)
                LEFT JOIN LATERAL (
                    (
                        SELECT e.version, e.event_id, e.final, e.created_at FROM events AS e
                        WHERE e.namespace = t_namespace[p_target[p.i]] AND e.decider = t_decider[p_target[p.i]] AND e.decider_id = p.decider_id
                          AND e.version >= p_since[p.i]
                        ORDER BY e.version DESC
                        LIMIT 1
                    )
                    UNION ALL
                    -- What the writer has seen is not there any more: the database was put back to an earlier state.
                    (
                        SELECT e.version, e.event_id, e.final, e.created_at FROM events AS e
                        WHERE p_since[p.i] > 0
                          AND e.namespace = t_namespace[p_target[p.i]] AND e.decider = t_decider[p_target[p.i]] AND e.decider_id = p.decider_id
                        ORDER BY e.version DESC
                        LIMIT 1
                    )
                    LIMIT 1
                ) AS head ON TRUE
                ORDER BY p.i
                OFFSET 0
            ) AS found
            OFFSET 0
        ) AS judged;
        EXIT WHEN looks_up OR left_out IS NULL;
        looks_up := TRUE;
    END LOOP;

    -- A stream that was not locked by its writer may have moved since it was judged: then a unique constraint refuses the call.
    WITH inserted AS (
        INSERT INTO events (event, event_id, event_version, decider, decider_id, data, command_id, previous_id, final, created_at,
                            namespace, version, tags, metadata, generation, activation)
        SELECT k_event[e_kind[e.i]], e_event_id[e.i], k_event_version[e_kind[e.i]], t_decider[p_target[e_part[e.i]]], p_decider_id[e_part[e.i]],
               e.data, e_command_id[e.i], CASE WHEN e_nth[e.i] > 1 THEN e_event_id[e.i - 1] ELSE previous_id[e_part[e.i]] END,
               e_final[e.i], created_at[e_part[e.i]], t_namespace[p_target[e_part[e.i]]], version[e_part[e.i]] + e_nth[e.i],
               CASE WHEN e.tags IS NULL THEN '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(e.tags::JSONB)) END,
               CASE WHEN e_is_lean[e.i] AND activation[p_target[e_part[e.i]]] IS NULL
                    THEN gavel_causes(e_command_id[e.i]) || coalesce(e.metadata, '{}')
                        || jsonb_build_object('module', t_digest[p_target[e_part[e.i]]])
                    ELSE coalesce(e.metadata, '{}') END,
               generation, CASE WHEN e_is_lean[e.i] THEN activation[p_target[e_part[e.i]]] END
        FROM unnest(e_data, e_tags, e_metadata) WITH ORDINALITY AS e (data, tags, metadata, i)
        WHERE left_out IS NULL OR p_append[e_part[e.i]] <> ALL (left_out)
        RETURNING events."offset", events.transaction_id
    )
    SELECT array_agg(inserted."offset"), (array_agg(inserted.transaction_id))[1] INTO offsets, transaction_id FROM inserted;

    INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, actor, metadata,
                          version, outcome, events, rejection_code, rejection_message, rejection_data, fuel, activation, module)
    SELECT t_namespace[p_target[c_part[c.i]]], c_command_id[c.i], t_decider[p_target[c_part[c.i]]], p_decider_id[c_part[c.i]], n_command[c_name[c.i]],
           c.data::JSON, c.fingerprint, c_now[c.i], c_seed[c.i], c.actor, coalesce(c.metadata, '{}'),
           c_version[c.i], CASE c_rejection[c.i] WHEN 0 THEN 'accepted' ELSE 'rejected' END, c_events[c.i], r_code[c_rejection[c.i]],
           r_message[c_rejection[c.i]], r_data[c_rejection[c.i]]::JSON, c_fuel[c.i], activation[p_target[c_part[c.i]]],
           CASE WHEN activation[p_target[c_part[c.i]]] IS NULL THEN t_digest[p_target[c_part[c.i]]] END
    FROM unnest(c_data, c_fingerprint, c_actor, c_metadata) WITH ORDINALITY AS c (data, fingerprint, actor, metadata, i)
    WHERE left_out IS NULL OR p_append[c_part[c.i]] <> ALL (left_out);
END;
$$;

-- As in 0009.
DO $$
DECLARE
    ours REGPROCEDURE;
BEGIN
    FOR ours IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::REGNAMESPACE
          AND p.proname IN ('gavel_append', 'gavel_check_events', 'gavel_metadata', 'gavel_whole_event', 'gavel_refuse_fork',
                            'get_events', 'get_last_event', 'stream_events')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours, current_schema());
    END LOOP;
END;
$$;

REVOKE EXECUTE ON FUNCTION gavel_refuse_fork(), gavel_check_events() FROM PUBLIC;
