-- The functions of fstore-sql's write side, for those who append with SQL alone. Arguments that fstore-sql does not have come last and
-- have defaults.

-- Registers an event of a decider. Once more is no error, and gives back what is registered.
CREATE FUNCTION register_decider_event(
    decider       TEXT,
    event         TEXT,
    description   TEXT,
    event_version BIGINT DEFAULT 1
) RETURNS SETOF deciders
    LANGUAGE sql
    SET search_path FROM CURRENT
AS $$
    INSERT INTO deciders (decider, event, description, event_version)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT ON CONSTRAINT deciders_pkey DO NOTHING;
    SELECT * FROM deciders AS d WHERE d.decider = $1 AND d.event = $2 AND d.event_version = $4;
$$;

-- Appends one event after the one that previous_id names, NULL for the first of a stream.
CREATE FUNCTION append_event(
    event         TEXT,
    event_id      UUID,
    decider       TEXT,
    decider_id    TEXT,
    data          JSONB,
    command_id    UUID,
    previous_id   UUID,
    event_version BIGINT  DEFAULT 1,
    final         BOOLEAN DEFAULT FALSE,
    namespace     TEXT    DEFAULT 'default',
    tags          TEXT[]  DEFAULT '{}',
    metadata      JSONB   DEFAULT '{}'
) RETURNS SETOF events
    LANGUAGE sql
    SET search_path FROM CURRENT
AS $$
    INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id, event_version, final,
                        namespace, tags, metadata)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    RETURNING *;
$$;

-- The events of a stream, oldest first.
CREATE FUNCTION get_events(decider_id TEXT, decider TEXT, namespace TEXT DEFAULT 'default') RETURNS SETOF events
    LANGUAGE sql STABLE
    SET search_path FROM CURRENT
AS $$
    SELECT * FROM events AS e
    WHERE e.namespace = $3 AND e.decider = $2 AND e.decider_id = $1
    ORDER BY e.version;
$$;

-- The newest event of a stream, if there is any.
CREATE FUNCTION get_last_event(decider_id TEXT, decider TEXT, namespace TEXT DEFAULT 'default') RETURNS SETOF events
    LANGUAGE sql STABLE
    SET search_path FROM CURRENT
AS $$
    SELECT * FROM events AS e
    WHERE e.namespace = $3 AND e.decider = $2 AND e.decider_id = $1
    ORDER BY e.version DESC
    LIMIT 1;
$$;
