-- The tables of views, in a schema of their own: `gavel_rows`, or the schema of the installation
-- with `_gavel_rows` behind its name, which the connection has as its default. The rows of table 7
-- are in `v_7`, which the host makes; what people read are the SQL views in the schema beside it.

CREATE TABLE tables (
    id            BIGINT           GENERATED ALWAYS AS IDENTITY,
    namespace     TEXT COLLATE "C" NOT NULL,
    view          TEXT COLLATE "C" NOT NULL,
    -- Of the module whose rows the table has.
    digest        TEXT COLLATE "C" NOT NULL,
    -- The columns and indexes.
    shape         JSON             NOT NULL,
    -- The position through which all events are folded or parked.
    position      TEXT COLLATE "C" NOT NULL,
    is_finished   BOOLEAN          NOT NULL DEFAULT FALSE,
    -- The rows are in `generic`, since the host's role could make no table.
    is_generic    BOOLEAN          NOT NULL,
    -- NULL while the pointer is at the table.
    unused_since  TIMESTAMPTZ,
    row_count     BIGINT           NOT NULL DEFAULT 0,
    parked_events BIGINT           NOT NULL DEFAULT 0,
    CONSTRAINT tables_pkey PRIMARY KEY (id),
    CONSTRAINT tables_view_digest_key UNIQUE (namespace, view, digest)
-- The position changes with each page of events, and has room beside it for the next one.
) WITH (fillfactor = 50);

-- The table of each view that is read.
CREATE TABLE pointers (
    namespace  TEXT COLLATE "C" NOT NULL,
    view       TEXT COLLATE "C" NOT NULL,
    table_id   BIGINT,
    activation BIGINT           NOT NULL,
    CONSTRAINT pointers_pkey PRIMARY KEY (namespace, view)
);

-- Rows that cannot fold an event.
CREATE TABLE parked (
    table_id BIGINT           NOT NULL,
    key      TEXT COLLATE "C" NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    event_id UUID             NOT NULL,
    reason   TEXT             NOT NULL,
    since    TIMESTAMPTZ      NOT NULL,
    CONSTRAINT parked_pkey PRIMARY KEY (table_id, key)
);

-- The later events of parked rows.
CREATE TABLE waiting (
    table_id BIGINT           NOT NULL,
    key      TEXT COLLATE "C" NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    CONSTRAINT waiting_pkey PRIMARY KEY (table_id, key, position)
);

-- Events whose keys cannot be told.
CREATE TABLE parked_events (
    table_id BIGINT           NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    event_id UUID             NOT NULL,
    reason   TEXT             NOT NULL,
    CONSTRAINT parked_events_pkey PRIMARY KEY (table_id, position)
);

-- Rows of hosts whose role can make no table.
CREATE TABLE generic (
    table_id BIGINT           NOT NULL,
    key      TEXT COLLATE "C" NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    "row"    JSONB            NOT NULL,
    CONSTRAINT generic_pkey PRIMARY KEY (table_id, key)
);
