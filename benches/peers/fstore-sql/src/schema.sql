-- The write side of fstore-sql and what an append costs there when views are registered: rebuilt from a description of its tables,
-- triggers and functions, not copied. It keeps what makes it slow (F2, F14 of its known limits), since that is what is compared.

CREATE TABLE deciders (
    decider       TEXT   NOT NULL,
    event         TEXT   NOT NULL,
    event_version BIGINT NOT NULL DEFAULT 1,
    description   TEXT   NOT NULL,
    PRIMARY KEY (decider, event, event_version)
);

CREATE TABLE events (
    event          TEXT        NOT NULL,
    event_id       UUID        NOT NULL UNIQUE,
    event_version  BIGINT      NOT NULL DEFAULT 1,
    decider        TEXT        NOT NULL,
    decider_id     TEXT        NOT NULL,
    data           JSONB       NOT NULL,
    command_id     UUID        NOT NULL,
    previous_id    UUID UNIQUE,
    final          BOOLEAN     NOT NULL DEFAULT FALSE,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    "offset"       BIGSERIAL   PRIMARY KEY,
    transaction_id XID8        NOT NULL DEFAULT pg_current_xact_id(),
    FOREIGN KEY (decider, event, event_version) REFERENCES deciders
);
CREATE INDEX ON events (decider_id, decider);
CREATE INDEX ON events (decider_id, "offset");

CREATE TABLE views (
    view           TEXT PRIMARY KEY,
    start_at       TIMESTAMP   NOT NULL DEFAULT now(),
    lock_timeout_s BIGINT      NOT NULL DEFAULT 300,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE locks (
    view         TEXT        NOT NULL REFERENCES views ON DELETE CASCADE,
    decider_id   TEXT        NOT NULL,
    "offset"     BIGINT      NOT NULL,
    last_offset  BIGINT      NOT NULL,
    locked_until TIMESTAMPTZ NOT NULL DEFAULT now() - INTERVAL '1 millisecond',
    offset_final BOOLEAN     NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (view, decider_id)
);
CREATE INDEX ON locks (view, locked_until, last_offset);

-- Both tables take no changes.
CREATE RULE keep_deciders AS ON UPDATE TO deciders DO INSTEAD NOTHING;
CREATE RULE hold_deciders AS ON DELETE TO deciders DO INSTEAD NOTHING;
CREATE RULE keep_events AS ON UPDATE TO events DO INSTEAD NOTHING;
CREATE RULE hold_events AS ON DELETE TO events DO INSTEAD NOTHING;

CREATE FUNCTION refuse_after_final() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM events WHERE decider_id = NEW.decider_id AND decider = NEW.decider AND final) THEN
        RAISE EXCEPTION 'the stream is final';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_after_final BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse_after_final();

CREATE FUNCTION refuse_second_first() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.previous_id IS NULL AND EXISTS (SELECT 1 FROM events WHERE decider_id = NEW.decider_id AND decider = NEW.decider) THEN
        RAISE EXCEPTION 'previous_id can only be null for the first event';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_second_first BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse_second_first();

CREATE FUNCTION refuse_foreign_previous() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.previous_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM events WHERE event_id = NEW.previous_id AND decider_id = NEW.decider_id AND decider = NEW.decider
    ) THEN
        RAISE EXCEPTION 'previous_id must be of the same stream';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_foreign_previous BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse_foreign_previous();

-- One row for each view, on every append.
CREATE FUNCTION move_locks() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO locks (view, decider_id, "offset", last_offset, offset_final)
    SELECT view, NEW.decider_id, NEW."offset", 0, NEW.final FROM views
    ON CONFLICT (view, decider_id) DO UPDATE
    SET "offset" = EXCLUDED."offset", offset_final = EXCLUDED.offset_final, updated_at = now();
    RETURN NULL;
END $$;
CREATE TRIGGER move_locks AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION move_locks();

CREATE FUNCTION append_event(v_event TEXT, v_event_id UUID, v_decider TEXT, v_decider_id TEXT, v_data JSONB, v_command_id UUID, v_previous_id UUID)
    RETURNS SETOF events LANGUAGE sql AS $$
    INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id)
    VALUES (v_event, v_event_id, v_decider, v_decider_id, v_data, v_command_id, v_previous_id)
    RETURNING *
$$;

CREATE FUNCTION get_events(v_decider_id TEXT, v_decider TEXT) RETURNS SETOF events LANGUAGE sql AS $$
    SELECT * FROM events WHERE decider_id = v_decider_id AND decider = v_decider ORDER BY "offset"
$$;

INSERT INTO deciders (decider, event, description) VALUES ('account', 'Opened', ''), ('account', 'Deposited', '');
