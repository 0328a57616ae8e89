-- Modules, and the append-only log of which decider runs which.

CREATE TABLE modules (
    digest      TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    size_bytes  BIGINT           NOT NULL,
    -- JSON rather than JSONB, here and below: the host gets back the bytes that it stored.
    manifest    JSON             NOT NULL,
    imports     TEXT[]           NOT NULL,
    wasm        BYTEA            NOT NULL,
    uploaded_at TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT modules_pkey PRIMARY KEY (digest)
);

CREATE TABLE activations (
    namespace    TEXT COLLATE "C" NOT NULL,
    decider      TEXT COLLATE "C" NOT NULL,
    -- Its place among the decider's activations: 1, 2, 3 … The highest one holds.
    number       BIGINT           NOT NULL,
    digest       TEXT COLLATE "C" NOT NULL,
    -- The digest before it; NULL for the first.
    replaces     TEXT COLLATE "C",
    activated_at TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    activated_by TEXT,
    message      TEXT,
    accepted     TEXT[]           NOT NULL,
    report       JSON             NOT NULL,
    CONSTRAINT activations_pkey PRIMARY KEY (namespace, decider, number),
    CONSTRAINT activations_digest_fkey FOREIGN KEY (digest) REFERENCES modules (digest),
    CONSTRAINT activations_number_check CHECK (number >= 1)
);

-- For the foreign key, when a module is deleted.
CREATE INDEX activations_digest_idx ON activations (digest);

CREATE TRIGGER activations_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON activations
    FOR EACH STATEMENT
    EXECUTE FUNCTION gavel_refuse_change();

-- What an append locks shared and an activation exclusively: the activation waits for the appends under way, and those that come
-- later wait for it. An advisory lock, because FOR KEY SHARE on a row would have every append of the decider write to that row.
CREATE FUNCTION gavel_fence_key(namespace TEXT, decider TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(namespace || '/' || decider, 1) $$;

-- Activates a module if the newest activation is still the one numbered `after`, 0 for none, and registers the events it may append:
-- an array of objects with the members event, event_version and description.
CREATE FUNCTION gavel_activate(
    namespace    TEXT,
    decider      TEXT,
    after        BIGINT,
    digest       TEXT,
    events       JSONB,
    activated_by TEXT,
    message      TEXT,
    accepted     TEXT[],
    report       JSON
) RETURNS SETOF activations
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    newest activations;
BEGIN
    PERFORM pg_advisory_xact_lock(gavel_fence_key($1, $2));
    SELECT * INTO newest FROM activations AS a
    WHERE a.namespace = $1 AND a.decider = $2
    ORDER BY a.number DESC
    LIMIT 1;
    IF coalesce(newest.number, 0) <> $3 THEN
        RAISE EXCEPTION 'decider % is at activation %, not %', $2, coalesce(newest.number, 0), $3
            USING ERRCODE = 'GV005', DETAIL = json_build_object('current', coalesce(newest.number, 0));
    END IF;

    INSERT INTO deciders (decider, event, event_version, description)
    SELECT $2, e.event, e.event_version, e.description
    FROM jsonb_to_recordset($5) AS e (event TEXT, event_version BIGINT, description TEXT)
    ORDER BY e.event, e.event_version
    ON CONFLICT ON CONSTRAINT deciders_pkey DO NOTHING;

    RETURN QUERY
    INSERT INTO activations (namespace, decider, number, digest, replaces, activated_by, message, accepted, report)
    VALUES ($1, $2, $3 + 1, $4, newest.digest, $6, $7, $8, $9)
    RETURNING *;
END;
$$;
