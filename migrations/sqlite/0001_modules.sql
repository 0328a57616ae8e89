-- Modules, the log of their activations, and the registry of events that activations fill.

CREATE TABLE modules (
    digest      TEXT    NOT NULL PRIMARY KEY CHECK (length(digest) = 71),
    size_bytes  INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    manifest    TEXT    NOT NULL,
    imports     TEXT    NOT NULL, -- a JSON array of text
    uploaded_at INTEGER NOT NULL,
    wasm        BLOB    NOT NULL  -- last, so that the columns above are read without it
) STRICT;

CREATE TABLE activations (
    namespace    TEXT    NOT NULL,
    decider      TEXT    NOT NULL,
    number       INTEGER NOT NULL CHECK (number > 0),
    digest       TEXT    NOT NULL REFERENCES modules (digest),
    replaces     TEXT             REFERENCES modules (digest),
    activated_at INTEGER NOT NULL,
    activated_by TEXT,
    message      TEXT,
    accepted     TEXT    NOT NULL, -- a JSON array of text
    report       TEXT    NOT NULL,
    PRIMARY KEY (namespace, decider, number)
) STRICT;

-- Which module is or was active is asked before a module is deleted.
CREATE INDEX activations_digest ON activations (digest);
CREATE INDEX activations_replaces ON activations (replaces);

CREATE TRIGGER activations_are_never_updated BEFORE UPDATE ON activations
BEGIN
    SELECT RAISE(ABORT, 'activations are immutable');
END;

CREATE TRIGGER activations_are_never_deleted BEFORE DELETE ON activations
BEGIN
    SELECT RAISE(ABORT, 'activations are immutable');
END;

CREATE TRIGGER activations_count_up BEFORE INSERT ON activations
WHEN NEW.number <> 1 + coalesce((
    SELECT max(number) FROM activations WHERE namespace = NEW.namespace AND decider = NEW.decider
), 0)
BEGIN
    SELECT RAISE(ABORT, 'the number of an activation is one more than that of the newest');
END;

-- The registry: an event is stored only when its decider, name and schema version are here.
CREATE TABLE deciders (
    decider       TEXT    NOT NULL,
    event         TEXT    NOT NULL,
    event_version INTEGER NOT NULL DEFAULT 1,
    description   TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (decider, event, event_version)
) STRICT, WITHOUT ROWID;
