-- The tables of views, in a file of their own. The rows of table 7 are in "gavel_rows.v_7", which
-- the host makes; what people read are the SQL views, named as the views are. A dot in all names of
-- ours keeps them from being those of a view.

CREATE TABLE "gavel_rows.tables" (
    -- Never that of a table that was dropped.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace     TEXT    NOT NULL,
    view          TEXT    NOT NULL,
    -- Of the module whose rows the table has.
    digest        TEXT    NOT NULL,
    -- The columns and indexes.
    shape         TEXT    NOT NULL CHECK (json_valid(shape)),
    -- The position through which all events are folded or parked.
    position      TEXT    NOT NULL,
    is_finished   INTEGER NOT NULL DEFAULT 0,
    -- NULL while the pointer is at the table.
    unused_since  INTEGER,
    row_count     INTEGER NOT NULL DEFAULT 0,
    parked_events INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, view, digest)
);

-- The table of each view that is read.
CREATE TABLE "gavel_rows.pointers" (
    namespace  TEXT    NOT NULL,
    view       TEXT    NOT NULL,
    table_id   INTEGER,
    activation INTEGER NOT NULL,
    PRIMARY KEY (namespace, view)
) WITHOUT ROWID;

-- Rows that cannot fold an event.
CREATE TABLE "gavel_rows.parked" (
    table_id INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    position TEXT    NOT NULL,
    event_id BLOB    NOT NULL,
    reason   TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (table_id, key)
) WITHOUT ROWID;

-- The later events of parked rows.
CREATE TABLE "gavel_rows.waiting" (
    table_id INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    position TEXT    NOT NULL,
    PRIMARY KEY (table_id, key, position)
) WITHOUT ROWID;

-- Events whose keys cannot be told.
CREATE TABLE "gavel_rows.parked_events" (
    table_id INTEGER NOT NULL,
    position TEXT    NOT NULL,
    event_id BLOB    NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (table_id, position)
) WITHOUT ROWID;
