-- Consumers: named readers, how far each has come, and who works on what.

CREATE TABLE consumers (
    namespace       TEXT    NOT NULL,
    consumer        TEXT    NOT NULL,
    deciders        TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(deciders)), -- names; none for all
    events          TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(events)),   -- names; none for all
    lock_timeout_ms INTEGER NOT NULL CHECK (lock_timeout_ms > 0),
    max_attempts    INTEGER NOT NULL CHECK (max_attempts > 0),
    backoff_ms      INTEGER NOT NULL CHECK (backoff_ms >= 0),
    push_url        TEXT,                       -- NULL for those that ask
    push_secret     TEXT,
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    since           INTEGER,                    -- events created earlier are not wanted
    cursor          INTEGER NOT NULL DEFAULT 0, -- events up to this "offset" are handed out to consumer_streams
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (namespace, consumer)
) STRICT;

-- The streams that have events which are handed out and not done. What has no row is done up to the cursor.
CREATE TABLE consumer_streams (
    namespace       TEXT    NOT NULL,
    consumer        TEXT    NOT NULL,
    decider         TEXT    NOT NULL,
    decider_id      TEXT    NOT NULL,
    next_version    INTEGER NOT NULL CHECK (next_version > 0), -- the oldest event that is not done
    next_offset     INTEGER NOT NULL,
    next_created_at INTEGER NOT NULL,
    last_version    INTEGER NOT NULL CHECK (last_version >= next_version), -- the newest that is handed out
    pending         INTEGER NOT NULL,           -- how many wanted events that is
    attempt         INTEGER NOT NULL DEFAULT 0, -- how often the oldest was leased
    available_at    INTEGER NOT NULL,           -- the end of a lease, or of a rest
    lease           BLOB CHECK (length(lease) = 16),
    leased_through  INTEGER,                    -- the last version of the lease
    parked_at       INTEGER,
    reason          TEXT    NOT NULL DEFAULT '', -- of the last failure
    PRIMARY KEY (namespace, consumer, decider, decider_id),
    FOREIGN KEY (namespace, consumer) REFERENCES consumers (namespace, consumer) ON DELETE CASCADE,
    CHECK ((lease IS NULL) = (leased_through IS NULL)),
    CHECK (lease IS NULL OR parked_at IS NULL)
) STRICT;

-- Who comes next: the stream whose oldest event is the oldest.
CREATE INDEX consumer_streams_next ON consumer_streams (namespace, consumer, next_offset) WHERE parked_at IS NULL;

CREATE UNIQUE INDEX consumer_streams_lease ON consumer_streams (lease) WHERE lease IS NOT NULL;
