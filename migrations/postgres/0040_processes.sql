-- Processes: instances that are folded from events, and their tasks, in the database of the log; and what only hosts may write.

-- Hosts of before let clients choose the ids by which tasks are known.
CREATE OR REPLACE FUNCTION gavel_schema_floor() RETURNS BIGINT
    LANGUAGE sql STABLE
AS $$ SELECT 40::BIGINT $$;

-- All that one module makes of the log under one name. It follows from the log and the ledger, as all else does here.
CREATE TABLE rosters (
    id              BIGINT           GENERATED ALWAYS AS IDENTITY,
    namespace       TEXT COLLATE "C" NOT NULL,
    process         TEXT COLLATE "C" NOT NULL,
    -- Of the module.
    digest          TEXT COLLATE "C" NOT NULL,
    -- The position after which it has begun.
    start           TEXT COLLATE "C" NOT NULL,
    -- The position through which all events are folded, or held behind a parked instance.
    position        TEXT COLLATE "C" NOT NULL,
    -- The position through which new tasks are done without being done.
    skipped_through TEXT COLLATE "C" NOT NULL,
    is_paused       BOOLEAN          NOT NULL,
    instance_count  BIGINT           NOT NULL DEFAULT 0,
    -- Of its tasks.
    newest_place    BIGINT           NOT NULL DEFAULT 0,
    created_at      TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rosters_pkey PRIMARY KEY (id),
    CONSTRAINT rosters_process_digest_key UNIQUE (namespace, process, digest)
-- The position changes with each page of events, and has room beside it for the next one.
) WITH (fillfactor = 50);

CREATE TABLE instances (
    roster_id BIGINT           NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    -- The event that its life began with.
    birth     UUID             NOT NULL,
    state     JSON             NOT NULL,
    -- Of the newest input that is folded.
    position  TEXT COLLATE "C" NOT NULL,
    CONSTRAINT instances_pkey PRIMARY KEY (roster_id, key)
) WITH (fillfactor = 70);

-- Instances that cannot fold an input.
CREATE TABLE parked_instances (
    roster_id BIGINT           NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    position  TEXT COLLATE "C" NOT NULL,
    event_id  UUID             NOT NULL,
    reason    TEXT             NOT NULL,
    since     TIMESTAMPTZ      NOT NULL,
    CONSTRAINT parked_instances_pkey PRIMARY KEY (roster_id, key)
);

-- The later inputs of parked instances.
CREATE TABLE held_inputs (
    roster_id BIGINT           NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    position  TEXT COLLATE "C" NOT NULL,
    CONSTRAINT held_inputs_pkey PRIMARY KEY (roster_id, key, position)
);

CREATE TABLE tasks (
    roster_id   BIGINT           NOT NULL,
    -- The id of what is done for it: of the command, or of the event WaitOver.
    effect      UUID             NOT NULL,
    -- In the order in which tasks were listed.
    place       BIGINT           NOT NULL,
    key         TEXT COLLATE "C" NOT NULL,
    birth       UUID             NOT NULL,
    task        TEXT COLLATE "C" NOT NULL,
    -- Of the command to send; NULL for a wait, as is the rest of it.
    decider     TEXT COLLATE "C",
    decider_id  TEXT COLLATE "C",
    "order"     JSON,
    -- The time to wait for; NULL for a send.
    due_at      TIMESTAMPTZ,
    -- The input that it follows from.
    event_id    UUID             NOT NULL,
    correlation TEXT             NOT NULL,
    depth       BIGINT           NOT NULL,
    listing     TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    -- Why it is parked.
    reason      TEXT,
    since       TIMESTAMPTZ,
    CONSTRAINT tasks_pkey PRIMARY KEY (roster_id, effect),
    CONSTRAINT tasks_action_check CHECK ((decider IS NULL) = (due_at IS NOT NULL)),
    CONSTRAINT tasks_listing_check CHECK (listing IN ('listed', 'once', 'withdrawn')),
    CONSTRAINT tasks_state_check CHECK (state IN ('open', 'done', 'parked'))
);

CREATE INDEX tasks_key_idx ON tasks (roster_id, key, place);
CREATE INDEX tasks_sends_idx ON tasks (roster_id, place) WHERE state = 'open' AND due_at IS NULL;
CREATE INDEX tasks_waits_idx ON tasks (roster_id, due_at, place) WHERE state = 'open' AND due_at IS NOT NULL;
CREATE INDEX tasks_parked_idx ON tasks (roster_id, key, place) WHERE state = 'parked';

-- What each change of rosters of a process locks, so that of two rosters that list one task the second one sees the first.
CREATE FUNCTION gavel_process_key(namespace TEXT, process TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(namespace || '/' || process, 4) $$;

-- What a change of a roster locks, shared, and a hold of it for itself.
CREATE FUNCTION gavel_roster_key(roster BIGINT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(roster::TEXT, 5) $$;

-- Locks the process of a roster, and gives the ids of all its rosters; NULL if the roster is not there.
CREATE FUNCTION gavel_lock_process_of(roster BIGINT) RETURNS BIGINT[]
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    own rosters;
BEGIN
    SELECT * INTO own FROM rosters AS r WHERE r.id = $1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN gavel_lock_process(own.namespace, own.process);
END;
$$;

-- Locks a process, and gives the ids of all its rosters.
CREATE FUNCTION gavel_lock_process(namespace TEXT, process TEXT) RETURNS BIGINT[]
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(gavel_process_key($1, $2));
    RETURN ARRAY(SELECT r.id FROM rosters AS r WHERE r.namespace = $1 AND r.process = $2 ORDER BY r.id);
END;
$$;

-- Makes a roster of a process and a module, if there is none.
CREATE FUNCTION gavel_create_roster(namespace TEXT, process TEXT, digest TEXT, start TEXT, beginning TEXT) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM gavel_lock_process($1, $2);
    INSERT INTO rosters (namespace, process, digest, start, position, skipped_through, is_paused)
    SELECT $1, $2, $3, $4, $4, $5, EXISTS (SELECT FROM rosters AS r WHERE r.namespace = $1 AND r.process = $2 AND r.is_paused)
    WHERE NOT EXISTS (SELECT FROM rosters AS r WHERE r.namespace = $1 AND r.process = $2 AND r.digest = $3);
END;
$$;

-- Empties a roster, which then begins again, or is dropped.
CREATE FUNCTION gavel_empty_roster(roster BIGINT, is_dropped BOOLEAN) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM gavel_lock_process_of($1);
    DELETE FROM instances AS i WHERE i.roster_id = $1;
    DELETE FROM parked_instances AS p WHERE p.roster_id = $1;
    DELETE FROM held_inputs AS h WHERE h.roster_id = $1;
    DELETE FROM tasks AS t WHERE t.roster_id = $1;
    IF $2 THEN
        DELETE FROM rosters AS r WHERE r.id = $1;
    ELSE
        UPDATE rosters AS r SET position = r.start, instance_count = 0 WHERE r.id = $1;
    END IF;
END;
$$;

CREATE FUNCTION gavel_pause_process(namespace TEXT, process TEXT, is_paused BOOLEAN) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM gavel_lock_process($1, $2);
    UPDATE rosters AS r SET is_paused = $3 WHERE r.namespace = $1 AND r.process = $2;
END;
$$;

-- Carries out a change of instances and tasks, which moves a roster from one position to another. The arguments are columns: what has the same prefix and the same
-- index belongs together.
--
--   p_       instances that there are afterwards
--   ended    keys of those that end
--   gone     effects of tasks that are listed no longer
--   a_       tasks that are listed anew
--   unparked keys of instances that are not parked any more
--   k_       instances that are parked
--   h_       inputs that are held behind parked instances
--
-- Answers `made`, or why nothing has changed: `moved`, `gone` or `held`.
CREATE FUNCTION gavel_commit_instances(
    roster        BIGINT,
    moves_from    TEXT,
    moves_to      TEXT,
    p_key         TEXT[],
    p_birth       UUID[],
    p_state       TEXT[],
    p_position    TEXT[],
    ended         TEXT[],
    gone          UUID[],
    a_effect      UUID[],
    a_key         TEXT[],
    a_birth       UUID[],
    a_task        TEXT[],
    a_decider     TEXT[],
    a_decider_id  TEXT[],
    a_order       TEXT[],
    a_due_at      TIMESTAMPTZ[],
    a_event_id    UUID[],
    a_correlation TEXT[],
    a_depth       BIGINT[],
    a_listing     TEXT[],
    unparked      TEXT[],
    k_key         TEXT[],
    k_position    TEXT[],
    k_event_id    UUID[],
    k_reason      TEXT[],
    k_since       TIMESTAMPTZ[],
    h_key         TEXT[],
    h_position    TEXT[]
) RETURNS TEXT
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    all_rosters BIGINT[];
    others      BIGINT[];
    own         rosters;
    added       BIGINT := 0;
    removed     BIGINT := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock_shared(gavel_roster_key($1)) THEN
        RETURN 'held';
    END IF;
    all_rosters := gavel_lock_process_of($1);
    SELECT * INTO own FROM rosters AS r WHERE r.id = $1;
    IF NOT FOUND THEN
        RETURN 'gone';
    END IF;
    IF own.position <> moves_from OR EXISTS (
        SELECT FROM unnest(h_key) AS held (key)
        WHERE held.key <> ALL (k_key)
          AND (held.key = ANY (unparked) OR NOT EXISTS (SELECT FROM parked_instances AS p WHERE p.roster_id = $1 AND p.key = held.key))
    ) THEN
        RETURN 'moved';
    END IF;
    others := array_remove(all_rosters, $1);

    IF cardinality(p_key) > 0 THEN
        WITH written AS (
            INSERT INTO instances (roster_id, key, birth, state, position)
            SELECT $1, put.key, put.birth, put.state::JSON, put.position
            FROM unnest(p_key, p_birth, p_state, p_position) AS put (key, birth, state, position)
            ON CONFLICT ON CONSTRAINT instances_pkey
                DO UPDATE SET birth = excluded.birth, state = excluded.state, position = excluded.position
            RETURNING xmax = 0 AS is_new
        )
        SELECT count(*) FILTER (WHERE written.is_new) INTO added FROM written;
    END IF;
    IF cardinality(ended) > 0 THEN
        DELETE FROM instances AS i WHERE i.roster_id = $1 AND i.key = ANY (ended);
        GET DIAGNOSTICS removed = ROW_COUNT;
    END IF;

    IF cardinality(gone) > 0 THEN
        WITH withdrawn AS (
            UPDATE tasks AS t SET listing = 'withdrawn'
            WHERE t.roster_id = $1 AND t.effect = ANY (gone) AND t.state = 'open' AND t.due_at IS NULL
        )
        DELETE FROM tasks AS t
        WHERE t.roster_id = $1 AND t.effect = ANY (gone) AND NOT (t.state = 'open' AND t.due_at IS NULL);
    END IF;

    IF cardinality(a_effect) > 0 THEN
        -- What another roster has recorded holds here as well; what this one has, too.
        INSERT INTO tasks (roster_id, effect, place, key, birth, task, decider, decider_id, "order", due_at, event_id, correlation, depth,
                           listing, state, reason, since)
        SELECT $1, a.effect, own.newest_place + a.i, a.key, a.birth, a.task,
               coalesce(known.decider, a.decider), coalesce(known.decider_id, a.decider_id), coalesce(known."order", a."order"::JSON), a.due_at,
               coalesce(known.event_id, a.event_id), coalesce(known.correlation, a.correlation), coalesce(known.depth, a.depth), a.listing,
               coalesce(known.state, CASE WHEN moves_to COLLATE "C" <= own.skipped_through THEN 'done' ELSE 'open' END), known.reason, known.since
        FROM unnest(a_effect, a_key, a_birth, a_task, a_decider, a_decider_id, a_order, a_due_at, a_event_id, a_correlation, a_depth, a_listing)
            WITH ORDINALITY AS a (effect, key, birth, task, decider, decider_id, "order", due_at, event_id, correlation, depth, listing, i)
        LEFT JOIN LATERAL (
            SELECT t.decider, t.decider_id, t."order", t.event_id, t.correlation, t.depth, t.state, t.reason, t.since
            FROM unnest(others) AS other (id)
            JOIN tasks AS t ON t.roster_id = other.id AND t.effect = a.effect
            ORDER BY other.id
            LIMIT 1
        ) AS known ON TRUE
        ON CONFLICT ON CONSTRAINT tasks_pkey DO UPDATE SET place = excluded.place, listing = excluded.listing;
        IF 'once' = ANY (a_listing) THEN
            DELETE FROM tasks AS t
            WHERE t.roster_id = $1 AND t.effect = ANY (a_effect) AND t.listing <> 'listed' AND t.state = 'done';
        END IF;
    END IF;

    IF cardinality(unparked) > 0 THEN
        DELETE FROM parked_instances AS p WHERE p.roster_id = $1 AND p.key = ANY (unparked);
        DELETE FROM held_inputs AS h WHERE h.roster_id = $1 AND h.key = ANY (unparked);
    END IF;
    IF cardinality(k_key) > 0 THEN
        DELETE FROM held_inputs AS h USING unnest(k_key, k_position) AS k (key, position)
        WHERE h.roster_id = $1 AND h.key = k.key AND h.position <= k.position;
        INSERT INTO parked_instances (roster_id, key, position, event_id, reason, since)
        SELECT $1, k.* FROM unnest(k_key, k_position, k_event_id, k_reason, k_since) AS k (key, position, event_id, reason, since)
        ON CONFLICT ON CONSTRAINT parked_instances_pkey
            DO UPDATE SET position = excluded.position, event_id = excluded.event_id, reason = excluded.reason, since = excluded.since;
    END IF;
    IF cardinality(h_key) > 0 THEN
        INSERT INTO held_inputs (roster_id, key, position)
        SELECT $1, h.* FROM unnest(h_key, h_position) AS h (key, position)
        ON CONFLICT ON CONSTRAINT held_inputs_pkey DO NOTHING;
    END IF;

    UPDATE rosters AS r
    SET position = moves_to, instance_count = r.instance_count + added - removed, newest_place = r.newest_place + cardinality(a_effect)
    WHERE r.id = $1;
    RETURN 'made';
END;
$$;

-- Writes down which tasks of a process are done, and which are parked and why. No effect comes twice.
CREATE FUNCTION gavel_settle_tasks(namespace TEXT, process TEXT, done UUID[], parked UUID[], reasons TEXT[]) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM gavel_finish_tasks(gavel_lock_process($1, $2), $3);
    UPDATE tasks AS t SET state = 'parked', reason = k.reason, since = clock_timestamp()
    FROM unnest($4, $5) AS k (effect, reason)
    JOIN rosters AS r ON r.namespace = $1 AND r.process = $2
    WHERE t.roster_id = r.id AND t.effect = k.effect AND t.state <> 'done';
END;
$$;

-- Marks tasks of some rosters as done. Those of whose end nothing more is said are forgotten.
CREATE FUNCTION gavel_finish_tasks(rosters BIGINT[], effects UUID[]) RETURNS VOID
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF cardinality($2) > 0 THEN
        WITH finished AS (
            UPDATE tasks AS t SET state = 'done', reason = NULL, since = NULL
            WHERE t.roster_id = ANY ($1) AND t.effect = ANY ($2) AND t.listing = 'listed' AND t.state <> 'done'
        )
        DELETE FROM tasks AS t
        WHERE t.roster_id = ANY ($1) AND t.effect = ANY ($2) AND t.listing <> 'listed';
    END IF;
END;
$$;

-- Opens parked tasks of a process again: those of an instance that have an id, or all that are for a decider. Gives how many effects that were.
CREATE FUNCTION gavel_retry_tasks(namespace TEXT, process TEXT, key TEXT, task TEXT, decider TEXT) RETURNS BIGINT
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    all_rosters CONSTANT BIGINT[] := gavel_lock_process($1, $2);
    opened      BIGINT;
BEGIN
    WITH opened AS (
        UPDATE tasks AS t SET state = 'open', reason = NULL, since = NULL
        WHERE t.roster_id = ANY (all_rosters) AND t.state = 'parked' AND (t.decider = $5 OR t.key = $3 AND t.task = $4)
        RETURNING t.effect
    )
    SELECT count(DISTINCT o.effect) INTO opened FROM opened AS o;
    RETURN opened;
END;
$$;

-- Marks what a candidate has listed, and the active roster has not, as done without being done. Tells whether both are there.
CREATE FUNCTION gavel_skip_tasks(candidate BIGINT, active BIGINT) RETURNS BOOLEAN
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    all_rosters CONSTANT BIGINT[] := gavel_lock_process_of($1);
BEGIN
    IF all_rosters IS NULL OR $2 <> ALL (all_rosters) THEN
        RETURN FALSE;
    END IF;
    PERFORM gavel_finish_tasks(all_rosters, ARRAY(
        SELECT t.effect FROM tasks AS t
        WHERE t.roster_id = $1 AND t.state <> 'done'
          AND NOT EXISTS (SELECT FROM tasks AS other WHERE other.roster_id = $2 AND other.effect = t.effect)
    ));
    UPDATE rosters AS r SET skipped_through = r.position WHERE r.id = $1;
    RETURN TRUE;
END;
$$;

-- Keeps what only hosts write from writers of plain SQL: derived ids, metadata of hosts, and the streams of processes.
CREATE FUNCTION gavel_refuse_forgery() RETURNS TRIGGER
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    reserved TEXT;
BEGIN
    IF get_byte(uuid_send(NEW.event_id), 6) >> 4 = 8 THEN
        RAISE EXCEPTION 'event id % is of version 8: such ids are derived by hosts', NEW.event_id
            USING ERRCODE = 'GV015', DETAIL = json_build_object('event_id', NEW.event_id);
    END IF;
    IF get_byte(uuid_send(NEW.command_id), 6) >> 4 = 8 THEN
        RAISE EXCEPTION 'command id % is of version 8: such ids are derived by hosts', NEW.command_id
            USING ERRCODE = 'GV015', DETAIL = json_build_object('command_id', NEW.command_id);
    END IF;
    IF jsonb_typeof(NEW.metadata) = 'object' AND NEW.metadata <> '{}' THEN
        SELECT entry.key INTO reserved FROM jsonb_object_keys(NEW.metadata) AS entry (key) WHERE starts_with(entry.key, 'gavel-') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'metadata % is set by hosts', reserved
                USING ERRCODE = 'GV015', DETAIL = json_build_object('metadata', reserved);
        END IF;
    END IF;
    -- The process may be about to begin: its activation waits for this transaction, or this one sees it.
    PERFORM pg_advisory_xact_lock_shared(gavel_fence_key(NEW.namespace, 'process', NEW.decider));
    IF EXISTS (SELECT FROM activations AS a WHERE a.namespace = NEW.namespace AND a.kind = 'process' AND a.name = NEW.decider) THEN
        RAISE EXCEPTION '% is a process, to whose streams only hosts write', NEW.decider
            USING ERRCODE = 'GV015', DETAIL = json_build_object('process', NEW.decider);
    END IF;
    RETURN NEW;
END;
$$;

-- gavel_append says that a host writes. Anybody can say so; it counts of roles that may write the ledger, as only hosts have to.
CREATE TRIGGER events_forgery
    BEFORE INSERT ON events
    FOR EACH ROW WHEN (current_setting('gavel.writer', TRUE) IS DISTINCT FROM 'host' OR NOT has_table_privilege('commands'::REGCLASS, 'INSERT'))
    EXECUTE FUNCTION gavel_refuse_forgery();

-- As in 0009.
DO $$
DECLARE
    ours REGPROCEDURE;
BEGIN
    FOR ours IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::REGNAMESPACE AND p.proname = 'gavel_append'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET gavel.writer = ''host''', ours);
    END LOOP;
    FOR ours IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::REGNAMESPACE
          AND p.proname IN ('gavel_lock_process', 'gavel_lock_process_of', 'gavel_create_roster', 'gavel_empty_roster', 'gavel_pause_process',
                            'gavel_commit_instances', 'gavel_settle_tasks', 'gavel_finish_tasks', 'gavel_retry_tasks', 'gavel_skip_tasks',
                            'gavel_refuse_forgery')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours, current_schema());
    END LOOP;
END;
$$;

REVOKE EXECUTE ON FUNCTION gavel_refuse_forgery() FROM PUBLIC;
