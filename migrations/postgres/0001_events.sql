-- The log of events, its registry, and the rules that hold for every writer, be it the host, the functions of 0002 or a plain INSERT.

-- Which events a decider may append.
CREATE TABLE deciders (
    decider       TEXT COLLATE "C" NOT NULL,
    event         TEXT COLLATE "C" NOT NULL,
    event_version BIGINT           NOT NULL DEFAULT 1,
    description   TEXT             NOT NULL DEFAULT '',
    CONSTRAINT deciders_pkey PRIMARY KEY (decider, event, event_version),
    CONSTRAINT deciders_decider_check CHECK (decider ~ '^[A-Za-z][A-Za-z0-9_-]{0,127}$'),
    CONSTRAINT deciders_event_check CHECK (event <> ''),
    CONSTRAINT deciders_event_version_check CHECK (event_version BETWEEN 1 AND 4294967295)
);

-- Transaction ids start again when a dump is restored into another cluster. Each cluster that the log has lived in is a generation, and
-- events are ordered by generation first.
CREATE TABLE generations (
    generation        INTEGER     NOT NULL,
    system_identifier BIGINT      NOT NULL,
    started_at        TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT generations_pkey PRIMARY KEY (generation)
);

-- The generation to write in. Begins a new one when the newest belongs to another cluster.
CREATE FUNCTION gavel_generation() RETURNS INTEGER
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    here   BIGINT := (SELECT system_identifier FROM pg_control_system());
    newest generations;
BEGIN
    LOOP
        SELECT * INTO newest FROM generations ORDER BY generation DESC LIMIT 1;
        IF newest.system_identifier = here THEN
            RETURN newest.generation;
        END IF;
        -- Of writers that arrive together one begins it, and the others find it.
        INSERT INTO generations (generation, system_identifier)
        VALUES (coalesce(newest.generation + 1, 0), here)
        ON CONFLICT DO NOTHING;
    END LOOP;
END;
$$;

-- The first one begins now, so that no writer has to wait for another that begins it.
SELECT gavel_generation();

CREATE TABLE events (
    event          TEXT COLLATE "C" NOT NULL,
    event_id       UUID             NOT NULL,
    -- The version of the event's schema.
    event_version  BIGINT           NOT NULL DEFAULT 1,
    decider        TEXT COLLATE "C" NOT NULL,
    decider_id     TEXT COLLATE "C" NOT NULL,
    data           JSONB            NOT NULL,
    command_id     UUID             NOT NULL,
    -- The event before it in its stream; NULL for the first.
    previous_id    UUID,
    -- Whether the stream ends with it.
    final          BOOLEAN          NOT NULL DEFAULT FALSE,
    -- By the clock of the database, in milliseconds; never decreases within a stream.
    created_at     TIMESTAMPTZ      NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    "offset"       BIGSERIAL        NOT NULL,
    transaction_id XID8             NOT NULL DEFAULT pg_current_xact_id(),
    namespace      TEXT COLLATE "C" NOT NULL DEFAULT 'default',
    -- The event's place in its stream: 1, 2, 3 … A writer that leaves it out is given the next one.
    version        BIGINT           NOT NULL,
    tags           TEXT[]           NOT NULL DEFAULT '{}',
    -- Text by text.
    metadata       JSONB            NOT NULL DEFAULT '{}',
    generation     INTEGER          NOT NULL DEFAULT gavel_generation(),
    CONSTRAINT events_pkey PRIMARY KEY ("offset"),
    CONSTRAINT events_event_id_key UNIQUE (event_id),
    CONSTRAINT events_previous_id_key UNIQUE (previous_id),
    CONSTRAINT events_stream_version_key UNIQUE (namespace, decider, decider_id, version),
    CONSTRAINT events_decider_event_event_version_fkey
        FOREIGN KEY (decider, event, event_version) REFERENCES deciders (decider, event, event_version),
    CONSTRAINT events_offset_check CHECK ("offset" >= 1),
    CONSTRAINT events_version_check CHECK (version >= 1),
    CONSTRAINT events_first_event_check CHECK ((version = 1) = (previous_id IS NULL)),
    -- The names of a stream are looked at once, with its first event: the chain holds the others to them.
    CONSTRAINT events_stream_check CHECK (version > 1 OR (
        namespace ~ '^[a-z0-9][a-z0-9-]{0,62}$'
        AND octet_length(decider_id) BETWEEN 1 AND 255
        AND decider_id !~ '[\u0001-\u001f\u007f-\u009f]'
        AND decider_id NOT IN ('activations', 'openapi.json', 'rehearsals', 'rollback', 'streams')
    )),
    CONSTRAINT events_tags_check CHECK (array_position(tags, NULL) IS NULL),
    CONSTRAINT events_metadata_check CHECK (
        jsonb_typeof(metadata) = 'object' AND NOT jsonb_path_exists(metadata, '$.* ? (@.type() != "string")')
    )
);

-- Positions: the log of a namespace in the order in which it is read. An offset alone would let a reader skip an event that took its
-- offset early and was committed late.
CREATE INDEX events_position_idx ON events (namespace, generation, transaction_id, "offset");

-- The newest end of each stream, derived from its events. Rows are updated in place, so each page keeps room for that.
CREATE TABLE stream_heads (
    namespace     TEXT COLLATE "C" NOT NULL,
    decider       TEXT COLLATE "C" NOT NULL,
    decider_id    TEXT COLLATE "C" NOT NULL,
    version       BIGINT           NOT NULL,
    last_event_id UUID             NOT NULL,
    final         BOOLEAN          NOT NULL,
    updated_at    TIMESTAMPTZ      NOT NULL,
    CONSTRAINT stream_heads_pkey PRIMARY KEY (namespace, decider, decider_id)
) WITH (fillfactor = 70);

-- What a writer locks before it looks at a stream. An advisory lock, because it is taken without a transaction id: whoever waits for a
-- stream gets its id after the one it waited for, and the log keeps the order of the stream. It also serves a stream that has no row yet.
CREATE FUNCTION gavel_stream_key(namespace TEXT, decider TEXT, decider_id TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(namespace || '/' || decider || '/' || decider_id, 0) $$;

-- Completes an event that comes without a version, as plain SQL writers send it: checks previous_id, and fills in the rest.
CREATE FUNCTION gavel_complete_event() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    -- A plan that was made while the table was small must not outlive that.
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
AS $$
DECLARE
    newest   RECORD;
    expected BIGINT := 0;
    stream   TEXT := format('%s/%s/%s', NEW.namespace, NEW.decider, NEW.decider_id);
BEGIN
    PERFORM pg_advisory_xact_lock(gavel_stream_key(NEW.namespace, NEW.decider, NEW.decider_id));
    -- Not from stream_heads, which does not know the rows that this statement has inserted before.
    SELECT e.version, e.event_id, e.final, e.created_at INTO newest
    FROM events AS e
    WHERE e.namespace = NEW.namespace AND e.decider = NEW.decider AND e.decider_id = NEW.decider_id
    ORDER BY e.version DESC
    LIMIT 1;

    IF newest.final THEN
        RAISE EXCEPTION 'stream % has ended with version %', stream, newest.version
            USING ERRCODE = 'GV002', DETAIL = json_build_object('version', newest.version);
    END IF;
    IF NEW.previous_id IS DISTINCT FROM newest.event_id THEN
        IF NEW.previous_id IS NOT NULL THEN
            SELECT e.version INTO expected
            FROM events AS e
            WHERE e.event_id = NEW.previous_id
              AND e.namespace = NEW.namespace AND e.decider = NEW.decider AND e.decider_id = NEW.decider_id;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'previous_id is no event of stream %', stream
                    USING ERRCODE = 'GV001', DETAIL = json_build_object('current_id', newest.event_id);
            END IF;
        END IF;
        -- The code and the constraint that a writer who loses a race for the index is told.
        RAISE EXCEPTION 'stream % is at version %, not %', stream, newest.version, expected
            USING ERRCODE = 'unique_violation',
                  CONSTRAINT = CASE expected WHEN 0 THEN 'events_stream_version_key' ELSE 'events_previous_id_key' END,
                  DETAIL = json_build_object('expected', expected, 'current', newest.version);
    END IF;

    NEW.version := coalesce(newest.version, 0) + 1;
    NEW.created_at := greatest(date_trunc('milliseconds', clock_timestamp()), newest.created_at);
    RETURN NEW;
END;
$$;

CREATE TRIGGER events_complete
    BEFORE INSERT ON events
    FOR EACH ROW WHEN (NEW.version IS NULL)
    EXECUTE FUNCTION gavel_complete_event();

-- Holds every inserted row to the event before it, and moves the heads. Once per statement, so that it costs a batch little; one index
-- probe per event, whatever the length of its stream. That nothing forks is up to the unique constraints.
CREATE FUNCTION gavel_check_events() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
DECLARE
    fault RECORD;
BEGIN
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

    INSERT INTO stream_heads (namespace, decider, decider_id, version, last_event_id, final, updated_at)
    SELECT DISTINCT ON (namespace, decider, decider_id)
           namespace, decider, decider_id, version, event_id, final, created_at
    FROM added
    ORDER BY namespace, decider, decider_id, version DESC
    ON CONFLICT ON CONSTRAINT stream_heads_pkey DO UPDATE
        SET version = excluded.version,
            last_event_id = excluded.last_event_id,
            final = excluded.final,
            updated_at = excluded.updated_at;
    RETURN NULL;
END;
$$;

CREATE TRIGGER events_check
    AFTER INSERT ON events
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT
    EXECUTE FUNCTION gavel_check_events();

CREATE FUNCTION gavel_refuse_change() RETURNS TRIGGER
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what is recorded there never changes', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'GV003', DETAIL = json_build_object('table', TG_TABLE_NAME);
END;
$$;

CREATE TRIGGER events_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT
    EXECUTE FUNCTION gavel_refuse_change();

CREATE TRIGGER deciders_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON deciders
    FOR EACH STATEMENT
    EXECUTE FUNCTION gavel_refuse_change();
