-- Processes: instances that are folded from events, and their tasks. All of it follows from the log and the ledger.

-- All that one module makes of the log under one name.
CREATE TABLE rosters (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never that of a roster that was dropped
    namespace       TEXT    NOT NULL,
    process         TEXT    NOT NULL,
    digest          TEXT    NOT NULL,                  -- of the module
    start           TEXT    NOT NULL,                  -- the position after which it has begun
    position        TEXT    NOT NULL,                  -- the position through which all events are folded or held
    skipped_through TEXT    NOT NULL,                  -- the position through which new tasks are done without being done
    is_paused       INTEGER NOT NULL CHECK (is_paused IN (0, 1)),
    instance_count  INTEGER NOT NULL DEFAULT 0,
    newest_place    INTEGER NOT NULL DEFAULT 0,        -- of its tasks
    created_at      INTEGER NOT NULL,
    UNIQUE (namespace, process, digest)
) STRICT;

CREATE TABLE instances (
    roster_id INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    birth     BLOB    NOT NULL CHECK (length(birth) = 16), -- the event that its life began with
    state     TEXT    NOT NULL CHECK (json_valid(state)),
    position  TEXT    NOT NULL,                            -- of the newest input that is folded
    PRIMARY KEY (roster_id, key)
) STRICT;

-- Instances that cannot fold an input.
CREATE TABLE parked_instances (
    roster_id INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    position  TEXT    NOT NULL,
    event_id  BLOB    NOT NULL CHECK (length(event_id) = 16),
    reason    TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (roster_id, key)
) STRICT, WITHOUT ROWID;

-- The later inputs of parked instances.
CREATE TABLE held_inputs (
    roster_id INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    position  TEXT    NOT NULL,
    PRIMARY KEY (roster_id, key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    roster_id   INTEGER NOT NULL,
    effect      BLOB    NOT NULL CHECK (length(effect) = 16), -- the id of what is done for it
    place       INTEGER NOT NULL,                             -- in the order in which tasks were listed
    key         TEXT    NOT NULL,
    birth       BLOB    NOT NULL CHECK (length(birth) = 16),
    task        TEXT    NOT NULL,
    decider     TEXT,                                         -- of the command to send; NULL for a wait, as is the rest of it
    decider_id  TEXT,
    "order"     TEXT    CHECK (json_valid("order")),
    due_at      INTEGER,                                      -- the time to wait for; NULL for a send
    event_id    BLOB    NOT NULL CHECK (length(event_id) = 16), -- the input that the task follows from
    correlation TEXT    NOT NULL,
    depth       INTEGER NOT NULL,
    listing     TEXT    NOT NULL CHECK (listing IN ('listed', 'once', 'withdrawn')),
    state       TEXT    NOT NULL CHECK (state IN ('open', 'done', 'parked')),
    reason      TEXT,                                         -- why it is parked
    since       INTEGER,
    PRIMARY KEY (roster_id, effect),
    CHECK ((decider IS NULL) = (due_at IS NOT NULL))
) STRICT;

CREATE INDEX tasks_key ON tasks (roster_id, key, place);
CREATE INDEX tasks_sends ON tasks (roster_id, place) WHERE state = 'open' AND due_at IS NULL;
CREATE INDEX tasks_waits ON tasks (roster_id, due_at, place) WHERE state = 'open' AND due_at IS NOT NULL;
CREATE INDEX tasks_parked ON tasks (roster_id, key, place) WHERE state = 'parked';

-- Programs of before let clients choose the ids by which tasks are known.
PRAGMA user_version = 40;
