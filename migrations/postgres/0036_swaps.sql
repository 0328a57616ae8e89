-- Modules that change together: one call of gavel_activate takes a set of activations, and the swaps of a namespace take place one after the other.

-- Hosts of before know another gavel_activate, which does not wait for the swaps of the namespace.
CREATE OR REPLACE FUNCTION gavel_schema_floor() RETURNS BIGINT
    LANGUAGE sql STABLE
AS $$ SELECT 36::BIGINT $$;

-- What an activation locks, so that the swaps of a namespace take place one after the other: of two kinds that begin a name at the same time the second one
-- sees the first, and what depends on a module is not changed by two at the same time.
ALTER FUNCTION gavel_names_key(TEXT) RENAME TO gavel_swaps_key;

-- The swaps of a namespace so far: the entries of all its activation logs. A restore takes them back with all else.
CREATE FUNCTION gavel_swaps(namespace TEXT) RETURNS BIGINT
    LANGUAGE sql STABLE
    SET search_path FROM CURRENT
AS $$ SELECT count(*) FROM activations AS a WHERE a.namespace = $1 $$;

DROP FUNCTION gavel_activate(BIGINT, TEXT, TEXT, TEXT, BIGINT, TEXT, JSONB, TEXT, TEXT, TEXT[], JSON);

-- Activates all modules of the set, or none of them, if the namespace has had as many swaps as `after` says, NULL for any number, and gives their entries in the
-- order of their names. The set is an array of objects, with the members
--   kind, name                       the pointer
--   after                            the number of the newest activation, 0 for none
--   digest                           the module; NULL for a deactivation
--   events                           the events that the module may append: objects with the members event, event_version and description
--   activated_by, message, accepted, report
--
-- The first activation under a name begins it: it belongs to its kind in the namespace from then on.
CREATE FUNCTION gavel_activate(schema BIGINT, namespace TEXT, after BIGINT, set JSON) RETURNS SETOF activations
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    wanted RECORD;
    newest activations;
    owner  TEXT;
BEGIN
    PERFORM gavel_require_schema($1);
    -- Fences in the order of gavel_append. The swaps' lock comes after them, always, and is one only: so nobody who has it waits for a fence.
    PERFORM pg_advisory_xact_lock(fences.key)
    FROM (
        SELECT DISTINCT gavel_fence_key($2, a.kind, a.name) AS key
        FROM json_to_recordset($4) AS a (kind TEXT, name TEXT)
        ORDER BY key
    ) AS fences;
    PERFORM pg_advisory_xact_lock(gavel_swaps_key($2));
    IF $3 <> gavel_swaps($2) THEN
        RAISE EXCEPTION 'namespace % has had % swaps, not %', $2, gavel_swaps($2), $3 USING ERRCODE = 'GV013';
    END IF;

    FOR wanted IN
        SELECT *
        FROM json_to_recordset($4) AS a (
            kind TEXT, name TEXT, after BIGINT, digest TEXT, events JSON, activated_by TEXT, message TEXT, accepted TEXT[], report JSON
        )
        ORDER BY a.name COLLATE "C"
    LOOP
        SELECT * INTO newest FROM activations AS a
        WHERE a.namespace = $2 AND a.kind = wanted.kind AND a.name = wanted.name
        ORDER BY a.number DESC
        LIMIT 1;
        IF coalesce(newest.number, 0) <> wanted.after THEN
            RAISE EXCEPTION '% % is at activation %, not %', wanted.kind, wanted.name, coalesce(newest.number, 0), wanted.after
                USING ERRCODE = 'GV005',
                    DETAIL = json_build_object('kind', wanted.kind, 'name', wanted.name, 'current', coalesce(newest.number, 0));
        END IF;
        IF newest.number IS NULL THEN
            owner := coalesce(
                (SELECT a.kind FROM activations AS a WHERE a.namespace = $2 AND a.kind <> wanted.kind AND a.name = wanted.name LIMIT 1),
                -- Events of a name that has no activation are a decider's.
                (SELECT 'decider' FROM stream_heads AS h WHERE h.namespace = $2 AND h.decider = wanted.name AND wanted.kind <> 'decider' LIMIT 1)
            );
            IF owner IS NOT NULL THEN
                RAISE EXCEPTION 'the name % belongs to a %', wanted.name, owner
                    USING ERRCODE = 'GV011', DETAIL = json_build_object('kind', wanted.kind, 'name', wanted.name, 'owner', owner);
            END IF;
        END IF;
        IF wanted.digest IS NOT NULL AND NOT EXISTS (SELECT FROM modules AS m WHERE m.digest = wanted.digest) THEN
            RAISE EXCEPTION 'there is no module %', wanted.digest
                USING ERRCODE = 'GV014', DETAIL = json_build_object('kind', wanted.kind, 'name', wanted.name);
        END IF;

        INSERT INTO deciders (decider, event, event_version, description)
        SELECT wanted.name, e.event, e.event_version, e.description
        FROM json_to_recordset(wanted.events) AS e (event TEXT, event_version BIGINT, description TEXT)
        ORDER BY e.event, e.event_version
        ON CONFLICT ON CONSTRAINT deciders_pkey DO NOTHING;

        RETURN QUERY
        INSERT INTO activations (namespace, kind, name, number, digest, replaces, activated_by, message, accepted, report)
        VALUES ($2, wanted.kind, wanted.name, wanted.after + 1, wanted.digest, newest.digest, wanted.activated_by, wanted.message, wanted.accepted,
                wanted.report)
        RETURNING *;
    END LOOP;
END;
$$;

-- As in 0009.
DO $$
DECLARE
    ours REGPROC;
BEGIN
    FOREACH ours IN ARRAY ARRAY['gavel_activate', 'gavel_swaps']::REGPROC[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours::REGPROCEDURE, current_schema());
    END LOOP;
END;
$$;
