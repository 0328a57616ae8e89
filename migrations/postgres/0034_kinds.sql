-- Modules are of kinds: activations, fences and rehearsals are found by namespace, kind and name.

ALTER TABLE modules
    -- What the component was built for: a package of WIT with its version.
    ADD COLUMN contract TEXT COLLATE "C" NOT NULL DEFAULT 'gavel:decider@0.1.0',
    ADD CONSTRAINT modules_kind_check CHECK (kind IN ('decider', 'process', 'view'));
-- From here on it is told.
ALTER TABLE modules ALTER COLUMN contract DROP DEFAULT;

ALTER TABLE activations RENAME COLUMN decider TO name;
ALTER TABLE activations
    ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'decider',
    -- NULL for a deactivation. `replaces` is what worked until then: NULL for the first entry, and after a deactivation.
    ALTER COLUMN digest DROP NOT NULL,
    DROP CONSTRAINT activations_pkey,
    ADD CONSTRAINT activations_pkey PRIMARY KEY (namespace, kind, name, number),
    ADD CONSTRAINT activations_kind_check CHECK (kind IN ('decider', 'process', 'view')),
    ADD CONSTRAINT activations_name_check CHECK (kind <> 'view' OR name ~ '^[a-z][a-z0-9_-]{0,62}$');

ALTER TABLE rehearsals RENAME COLUMN decider TO name;
ALTER TABLE rehearsals
    ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'decider',
    ADD CONSTRAINT rehearsals_kind_check CHECK (kind IN ('decider', 'process', 'view'));
DROP INDEX rehearsals_decider_idx;
CREATE INDEX rehearsals_key_idx ON rehearsals (namespace, kind, name, id);

-- The schema's floor: a host that knows less of the schema than this must not go on. A migration that raises it replaces the function. STABLE and without
-- settings, so that it is a constant wherever it is used, and all who use it notice when it is replaced.
CREATE FUNCTION gavel_schema_floor() RETURNS BIGINT
    LANGUAGE sql STABLE
AS $$ SELECT 34::BIGINT $$;

-- What means something else in a URL names no new stream; one that has such an id already goes on, and so is not looked at.
ALTER TABLE events
    DROP CONSTRAINT events_stream_check,
    ADD CONSTRAINT events_stream_check CHECK (version > 1 OR (
        namespace ~ '^[a-z0-9][a-z0-9-]{0,62}$'
        AND octet_length(decider_id) BETWEEN 1 AND 255
        AND decider_id !~ '[\u0001-\u001f\u007f-\u009f]'
        AND decider_id NOT IN ('activations', 'deactivations', 'logs', 'openapi.json', 'rehearsals', 'rollback', 'streams')
    )) NOT VALID;

-- As in 0003, by kind as well.
CREATE FUNCTION gavel_fence_key(namespace TEXT, kind TEXT, name TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(namespace || '/' || kind || '/' || name, 1) $$;

-- What an activation locks that begins a name, so that of two kinds which begin it at the same time the second one sees the first.
CREATE FUNCTION gavel_names_key(namespace TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(namespace, 2) $$;

DROP FUNCTION gavel_activate(TEXT, TEXT, BIGINT, TEXT, JSONB, TEXT, TEXT, TEXT[], JSON);

-- Activates a module, or none, if the newest activation is still the one numbered `after`, 0 for none, and registers the events that the module may append:
-- an array of objects with the members event, event_version and description.
--
-- The first activation begins the name, which belongs to its kind in the namespace from then on.
CREATE FUNCTION gavel_activate(
    schema       BIGINT,
    namespace    TEXT,
    kind         TEXT,
    name         TEXT,
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
    taken  TEXT;
BEGIN
    PERFORM gavel_require_schema($1);
    PERFORM pg_advisory_xact_lock(gavel_fence_key($2, $3, $4));
    SELECT * INTO newest FROM activations AS a
    WHERE a.namespace = $2 AND a.kind = $3 AND a.name = $4
    ORDER BY a.number DESC
    LIMIT 1;
    IF coalesce(newest.number, 0) <> $5 THEN
        RAISE EXCEPTION '% % is at activation %, not %', $3, $4, coalesce(newest.number, 0), $5
            USING ERRCODE = 'GV005', DETAIL = json_build_object('current', coalesce(newest.number, 0));
    END IF;
    IF newest.number IS NULL THEN
        -- After the fence, always, and one only: so nobody who has it waits for a fence.
        PERFORM pg_advisory_xact_lock(gavel_names_key($2));
        taken := coalesce(
            (SELECT a.kind FROM activations AS a WHERE a.namespace = $2 AND a.kind <> $3 AND a.name = $4 LIMIT 1),
            -- Events of a name that has no activation are a decider's.
            (SELECT 'decider' FROM stream_heads AS h WHERE h.namespace = $2 AND h.decider = $4 AND $3 <> 'decider' LIMIT 1)
        );
        IF taken IS NOT NULL THEN
            RAISE EXCEPTION 'the name % belongs to a %', $4, taken
                USING ERRCODE = 'GV011', DETAIL = json_build_object('kind', taken);
        END IF;
    END IF;

    INSERT INTO deciders (decider, event, event_version, description)
    SELECT $4, e.event, e.event_version, e.description
    FROM jsonb_to_recordset($7) AS e (event TEXT, event_version BIGINT, description TEXT)
    ORDER BY e.event, e.event_version
    ON CONFLICT ON CONSTRAINT deciders_pkey DO NOTHING;

    RETURN QUERY
    INSERT INTO activations (namespace, kind, name, number, digest, replaces, activated_by, message, accepted, report)
    VALUES ($2, $3, $4, $5 + 1, $6, newest.digest, $8, $9, $10, $11)
    RETURNING *;
END;
$$;

-- Refuses a host that knows the schema up to `known` only, when the floor is above that.
CREATE FUNCTION gavel_require_schema(known BIGINT) RETURNS VOID
    LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF known < gavel_schema_floor() THEN
        RAISE EXCEPTION 'newer schema, update me: this host knows the schema up to %, and must know it up to %', known, gavel_schema_floor()
            USING ERRCODE = 'GV012', DETAIL = json_build_object('floor', gavel_schema_floor());
    END IF;
END;
$$;

-- Appends are told which schema their host knows, and find the newest activation by kind as well. The function is changed where it stands, so that nothing else of it is
-- written down a second time; with other arguments it is another one, which hosts of before do not find.
DO $$
DECLARE
    before      CONSTANT REGPROCEDURE := 'gavel_append'::REGPROC;
    definition  TEXT := pg_get_functiondef(before);
    replacement RECORD;
BEGIN
    FOR replacement IN
        SELECT * FROM (VALUES
            ('(waits boolean', '(schema bigint, waits boolean'),
            ('a_decider text[]', 'a_kind text[], a_name text[]'),
            (E'BEGIN\n    -- All locks', E'BEGIN\n    IF schema < gavel_schema_floor() THEN\n        PERFORM gavel_require_schema(schema);\n    END IF;\n    -- All locks'),
            ('a.decider = a_decider[i]', 'a.kind = a_kind[i] AND a.name = a_name[i]'),
            ('a_namespace[i], a_decider[i]', 'a_namespace[i], a_kind[i], a_name[i]'),
            ('a_namespace[f], a_decider[f]', 'a_namespace[f], a_kind[f], a_name[f]'),
            ('cardinality(a_decider)', 'cardinality(a_name)')
        ) AS parts (old, new)
    LOOP
        IF position(replacement.old IN definition) = 0 THEN
            RAISE EXCEPTION 'gavel_append is another function than it was: % is not in it', replacement.old;
        END IF;
        definition := replace(definition, replacement.old, replacement.new);
    END LOOP;
    EXECUTE definition;
    EXECUTE format('DROP FUNCTION %s', before);
END;
$$;

DROP FUNCTION gavel_fence_key(TEXT, TEXT);

-- As in 0009.
DO $$
DECLARE
    ours REGPROC;
BEGIN
    FOREACH ours IN ARRAY ARRAY['gavel_activate', 'gavel_require_schema']::REGPROC[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours::REGPROCEDURE, current_schema());
    END LOOP;
END;
$$;
