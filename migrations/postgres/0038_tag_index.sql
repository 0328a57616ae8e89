-- The tag index: events of the kinds that somebody reads by tag are found by their tags. Events of other kinds cost what they did: no row, no lock, no statement.

-- The kinds of events that are indexed. A guard is put first; then the history is indexed that was stored without it, in pieces. The guards of a namespace are
-- complete where `indexed` has come to `through`. A guard stays.
CREATE TABLE tag_guards (
    namespace      TEXT COLLATE "C" NOT NULL,
    decider        TEXT COLLATE "C" NOT NULL,
    event          TEXT COLLATE "C" NOT NULL,
    -- Stands for the three above in event_tags: 1, 2, 3 … in the order in which guards are put.
    kind           INTEGER          NOT NULL,
    -- Whether what is appended may depend on there being no such event. No host makes one of these yet.
    is_conditional BOOLEAN          NOT NULL DEFAULT FALSE,
    -- The transactions that may not know of the guard and are not over, by their virtual ids; NULL until somebody has looked.
    waits_for      TEXT[],
    -- The last offset that an event may have whose tags were not indexed when it was stored; NULL until those transactions are over.
    through        BIGINT,
    -- The offset up to which history is indexed.
    indexed        BIGINT           NOT NULL DEFAULT 0,
    CONSTRAINT tag_guards_pkey PRIMARY KEY (namespace, decider, event),
    CONSTRAINT tag_guards_kind_key UNIQUE (kind)
);

-- The tags of events of guarded kinds. Two tags may have one hash: who reads compares the tags of the events themselves.
CREATE TABLE event_tags (
    tag            BIGINT  NOT NULL,
    generation     INTEGER NOT NULL,
    transaction_id XID8    NOT NULL,
    "offset"       BIGINT  NOT NULL,
    kind           INTEGER NOT NULL,
    CONSTRAINT event_tags_pkey PRIMARY KEY (tag, generation, transaction_id, "offset", kind)
);

CREATE FUNCTION gavel_tag_hash(namespace TEXT, tag TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended(namespace || '/' || tag, 3) $$;

-- The kind of the newest guard, 0 for none. As gavel_schema_floor() is, it is a constant wherever it is used: so a database without guards looks for none. Who puts
-- a guard replaces it.
CREATE FUNCTION gavel_newest_tag_guard() RETURNS INTEGER
    LANGUAGE sql STABLE
AS $$ SELECT 0 $$;

-- Puts guards on kinds of events that have none, for all that is stored from now on.
CREATE FUNCTION gavel_guard_tags(namespace TEXT, deciders TEXT[], events TEXT[]) RETURNS VOID
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    newest INTEGER;
BEGIN
    LOCK TABLE tag_guards IN SHARE ROW EXCLUSIVE MODE;
    newest := (SELECT coalesce(max(g.kind), 0) FROM tag_guards AS g);
    INSERT INTO tag_guards (namespace, decider, event, kind)
    SELECT $1, asked.decider, asked.event, newest + row_number() OVER (ORDER BY asked.decider, asked.event)
    FROM (SELECT DISTINCT * FROM unnest($2, $3) AS asked (decider, event)) AS asked
    WHERE NOT EXISTS (
        SELECT FROM tag_guards AS g WHERE g.namespace = $1 AND g.decider = asked.decider AND g.event = asked.event
    );
    IF FOUND THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION gavel_newest_tag_guard() RETURNS INTEGER LANGUAGE sql STABLE AS ''SELECT %s''',
            (SELECT max(g.kind) FROM tag_guards AS g)
        );
    END IF;
END;
$$;

-- Indexes at most so many more events that were stored before the guards of a namespace, and says whether that was all, and whether transactions have to end first
-- that may have stored events without knowing of a guard.
--
-- Which transactions these are, locks say: who has written to `events` since before a guard was committed may go on with what it knew; who begins to do so later
-- learns of the guard with the lock on the table, whatever its snapshot.
CREATE FUNCTION gavel_index_history(namespace TEXT, "limit" BIGINT, OUT is_complete BOOLEAN, OUT is_waiting BOOLEAN)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    writers TEXT[];
    after   BIGINT;
    last    BIGINT;
    piece   RECORD;
BEGIN
    is_waiting := FALSE;
    is_complete := NOT EXISTS (
        SELECT FROM tag_guards AS g WHERE g.namespace = $1 AND (g.indexed >= g.through) IS NOT TRUE
    );
    IF is_complete THEN
        RETURN;
    END IF;
    -- One call at a time. It comes after the call that has put the guards has ended in every respect, and so been told to all sessions.
    LOCK TABLE tag_guards IN SHARE ROW EXCLUSIVE MODE;

    IF EXISTS (SELECT FROM tag_guards AS g WHERE g.namespace = $1 AND g.through IS NULL) THEN
        writers := ARRAY(
            SELECT DISTINCT l.virtualtransaction FROM pg_locks AS l
            WHERE l.relation = 'events'::REGCLASS AND l.mode = 'RowExclusiveLock' AND l.granted
              AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        );
        UPDATE tag_guards AS g
        SET waits_for = ARRAY(SELECT unnest(coalesce(g.waits_for, writers)) INTERSECT SELECT unnest(writers))
        WHERE g.namespace = $1 AND g.through IS NULL;
        -- By then all that those transactions have stored can be seen.
        UPDATE tag_guards AS g SET through = coalesce((SELECT max(e."offset") FROM events AS e), 0)
        WHERE g.namespace = $1 AND g.through IS NULL AND g.waits_for = '{}';
    END IF;

    SELECT min(g.indexed), max(g.through) INTO after, last FROM tag_guards AS g WHERE g.namespace = $1 AND g.indexed < g.through;
    IF after IS NOT NULL THEN
        SELECT count(*) AS events, max(e."offset") AS through INTO piece
        FROM (
            SELECT e."offset" FROM events AS e WHERE e."offset" > after AND e."offset" <= last ORDER BY e."offset" LIMIT $2
        ) AS e;
        IF piece.events < $2 THEN
            piece.through := last;
        END IF;
        INSERT INTO event_tags (tag, generation, transaction_id, "offset", kind)
        SELECT DISTINCT gavel_tag_hash(e.namespace, tag.name), e.generation, e.transaction_id, e."offset", g.kind
        FROM events AS e
        JOIN tag_guards AS g ON g.namespace = e.namespace AND g.decider = e.decider AND g.event = e.event
        CROSS JOIN unnest(e.tags) AS tag (name)
        WHERE e."offset" > after AND e."offset" <= piece.through AND e.namespace = $1 AND g.indexed < g.through
        ON CONFLICT DO NOTHING;
        UPDATE tag_guards AS g SET indexed = greatest(g.indexed, least(g.through, piece.through))
        WHERE g.namespace = $1 AND g.indexed < g.through;
    END IF;

    is_complete := NOT EXISTS (
        SELECT FROM tag_guards AS g WHERE g.namespace = $1 AND (g.indexed >= g.through) IS NOT TRUE
    );
    is_waiting := NOT is_complete AND NOT EXISTS (SELECT FROM tag_guards AS g WHERE g.namespace = $1 AND g.indexed < g.through);
END;
$$;

-- The check of what is inserted indexes it as well. It is changed where it stands, so that nothing else of it is written down a second time.
DO $$
DECLARE
    definition CONSTANT TEXT := pg_get_functiondef('gavel_check_events'::REGPROC);
    ending     CONSTANT TEXT := E'    RETURN NULL;\nEND;';
BEGIN
    IF position(ending IN definition) = 0 THEN
        RAISE EXCEPTION 'gavel_check_events is another function than it was';
    END IF;
    EXECUTE replace(definition, ending, $indexing$
    IF gavel_newest_tag_guard() > 0 THEN
        -- A snapshot for the whole transaction may be older than a guard that is in force.
        IF gavel_newest_tag_guard() > (SELECT coalesce(max(g.kind), 0) FROM tag_guards AS g) THEN
            RAISE EXCEPTION 'events are indexed by tags since this transaction began'
                USING ERRCODE = 'serialization_failure';
        END IF;
        INSERT INTO event_tags (tag, generation, transaction_id, "offset", kind)
        SELECT DISTINCT gavel_tag_hash(added.namespace, tag.name), added.generation, added.transaction_id, added."offset", g.kind
        FROM added
        JOIN tag_guards AS g ON g.namespace = added.namespace AND g.decider = added.decider AND g.event = added.event
        CROSS JOIN unnest(added.tags) AS tag (name);
    END IF;
$indexing$ || ending);
END;
$$;

-- As in 0009.
DO $$
DECLARE
    ours REGPROC;
BEGIN
    FOREACH ours IN ARRAY ARRAY['gavel_check_events', 'gavel_guard_tags', 'gavel_index_history']::REGPROC[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours::REGPROCEDURE, current_schema());
    END LOOP;
END;
$$;

-- Who may read events may read them by tag. What makes appends dearer, only hosts may begin.
DO $$
DECLARE
    reader OID;
BEGIN
    FOR reader IN
        SELECT granted.grantee FROM pg_class AS c, aclexplode(c.relacl) AS granted
        WHERE c.oid = 'events'::REGCLASS AND granted.privilege_type = 'SELECT' AND granted.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON event_tags, tag_guards TO %s', CASE reader WHEN 0 THEN 'PUBLIC' ELSE reader::REGROLE::TEXT END);
    END LOOP;
END;
$$;
REVOKE EXECUTE ON FUNCTION gavel_guard_tags(TEXT, TEXT[], TEXT[]), gavel_index_history(TEXT, BIGINT) FROM PUBLIC;
