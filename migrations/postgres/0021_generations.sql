-- A generation is one life of the database, from the start of a server to its end. When an older copy is put back, or a standby that was behind is
-- promoted, the server is another one, though its system identifier is the same: what is appended from then on is never taken for what was lost.

ALTER TABLE generations
    -- When the server was started whose life it is.
    ADD COLUMN server_started_at TIMESTAMPTZ,
    -- The generation before it. Unique, so that of writers that arrive together one begins the next, whatever their clocks and snapshots say.
    ADD COLUMN follows INTEGER,
    -- The transaction that began it: none before that one writes in it.
    ADD COLUMN begun_by XID8 NOT NULL DEFAULT '0',
    ADD CONSTRAINT generations_follows_key UNIQUE (follows);

-- This life goes on. Were another generation begun, transactions that are under way would write in the one before it, behind the readers' backs.
UPDATE generations SET server_started_at = pg_postmaster_start_time()
WHERE generation = (SELECT max(g.generation) FROM generations AS g)
  AND system_identifier = (SELECT c.system_identifier FROM pg_control_system() AS c);

-- The generation to write in. Begins a new one when the newest was written by another server, or before this one was started.
--
-- Its number is that of the clock, in seconds since 2026, so that it differs from those which were begun since the copy was made that this
-- database may be.
CREATE OR REPLACE FUNCTION gavel_generation() RETURNS INTEGER
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    here       CONSTANT BIGINT := (SELECT c.system_identifier FROM pg_control_system() AS c);
    since      CONSTANT TIMESTAMPTZ := pg_postmaster_start_time();
    seconds    CONSTANT BIGINT := extract(EPOCH FROM clock_timestamp() - TIMESTAMPTZ '2026-01-01 00:00:00+00');
    newest     RECORD;
BEGIN
    LOOP
        SELECT g.generation, g.system_identifier = here AND g.server_started_at = since AS is_ours INTO newest
        FROM generations AS g ORDER BY g.generation DESC LIMIT 1;
        IF newest.is_ours THEN
            RETURN newest.generation;
        END IF;
        INSERT INTO generations (generation, system_identifier, server_started_at, follows, begun_by)
        VALUES (greatest(newest.generation + 1, least(seconds, 2147000000)), here, since, newest.generation, pg_current_xact_id())
        ON CONFLICT DO NOTHING;
    END LOOP;
END;
$$;

-- Readers stay before this: what is there has been committed, and nothing will be added to it. STABLE, so that it is of the same moment as what
-- they see of the events; in PL/pgSQL, so that sessions keep its plans.
--
-- Of the transactions that are under way, those of other databases do not count, for they cannot write here. One that we must not look at (it takes
-- `pg_read_all_stats` to see those of other roles) counts as one of this database. While something is under way that is older than
-- the newest generation, as what is prepared and outlives its server, the horizon is in the generation before it.
CREATE FUNCTION gavel_horizon(OUT generation INTEGER, OUT transaction_id XID8)
    LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    seen   CONSTANT PG_SNAPSHOT := pg_current_snapshot();
    own    CONSTANT XID8        := pg_current_xact_id_if_assigned();
    oldest XID8                 := pg_snapshot_xmax(seen);
BEGIN
    IF pg_snapshot_xmin(seen) < oldest THEN
        oldest := coalesce(
            (
                SELECT under_way.id FROM pg_snapshot_xip(seen) AS under_way (id)
                WHERE NOT EXISTS (
                    SELECT FROM pg_stat_activity AS a
                    WHERE a.backend_xid = under_way.id::XID AND a.datname <> current_database()
                ) AND NOT EXISTS (
                    SELECT FROM pg_prepared_xacts AS p
                    WHERE p.transaction = under_way.id::XID AND p.database <> current_database()
                )
                ORDER BY under_way.id
                LIMIT 1
            ),
            oldest
        );
    END IF;
    IF own < oldest THEN
        oldest := own;
    END IF;
    generation := (SELECT g.generation FROM generations AS g WHERE g.begun_by <= oldest ORDER BY g.generation DESC LIMIT 1);
    transaction_id := oldest;
END;
$$;

-- The log after the cursor, up to the horizon.
CREATE OR REPLACE FUNCTION gavel_new_events(c consumers) RETURNS SETOF events
    LANGUAGE sql STABLE
AS $$
    SELECT * FROM events AS e
    WHERE e.namespace = c.namespace
      AND (e.generation, e.transaction_id, e."offset") > (c.generation, c.transaction_id, c."offset")
      AND (e.generation, e.transaction_id)
          < ((SELECT h.generation FROM gavel_horizon() AS h), (SELECT h.transaction_id FROM gavel_horizon() AS h))
$$;

-- Where a consumer begins: at the position that is given; else, if there is a time, before the first event of that time or later; else, and
-- never later than that, before all that is committed from now on.
CREATE OR REPLACE FUNCTION gavel_start(
    namespace            TEXT,
    since                TIMESTAMPTZ,
    INOUT generation     INTEGER,
    INOUT transaction_id XID8,
    INOUT "offset"       BIGINT
)
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    earliest RECORD;
BEGIN
    IF $3 IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM gavel_generation();
    SELECT h.generation, h.transaction_id INTO generation, transaction_id FROM gavel_horizon() AS h;
    "offset" := 0;
    IF $2 IS NULL THEN
        RETURN;
    END IF;
    SELECT e.generation, e.transaction_id, e."offset" INTO earliest
    FROM events AS e
    WHERE e.namespace = $1 AND (e.generation, e.transaction_id) < ($3, $4) AND e.created_at >= $2
    ORDER BY e.generation, e.transaction_id, e."offset"
    LIMIT 1;
    IF FOUND THEN
        generation := earliest.generation;
        transaction_id := earliest.transaction_id;
        "offset" := earliest."offset" - 1;
    END IF;
END;
$$;

-- As in 0009.
DO $$
DECLARE
    ours REGPROCEDURE;
BEGIN
    FOR ours IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::REGNAMESPACE AND p.proname IN ('gavel_generation', 'gavel_horizon', 'gavel_start')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', ours, current_schema());
    END LOOP;
END;
$$;
