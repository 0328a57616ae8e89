-- Modules are of kinds: activations and rehearsals are found by namespace, kind and name. The schema's floor: a program that knows less of the
-- schema than `PRAGMA user_version` says must not open it.

-- A table that is there takes no other constraints, so each is made anew, with the rows that it had. Those that refer to another come first when they
-- are dropped, so that nothing ever refers to what is not there.

CREATE TABLE new_modules (
    digest      TEXT    NOT NULL PRIMARY KEY CHECK (length(digest) = 71),
    size_bytes  INTEGER NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('decider', 'process', 'view')),
    contract    TEXT    NOT NULL, -- what the component was built for: a package of WIT with its version
    name        TEXT    NOT NULL,
    manifest    TEXT    NOT NULL,
    imports     TEXT    NOT NULL, -- a JSON array of text
    uploaded_at INTEGER NOT NULL,
    wasm        BLOB    NOT NULL  -- last, so that the columns above are read without it
) STRICT;

-- By rowid, which orders modules that were uploaded at the same time.
INSERT INTO new_modules (rowid, digest, size_bytes, kind, contract, name, manifest, imports, uploaded_at, wasm)
SELECT rowid, digest, size_bytes, kind, 'gavel:decider@0.1.0', name, manifest, imports, uploaded_at, wasm FROM modules;

CREATE TABLE new_activations (
    namespace    TEXT    NOT NULL,
    kind         TEXT    NOT NULL DEFAULT 'decider' CHECK (kind IN ('decider', 'process', 'view')),
    name         TEXT    NOT NULL CHECK (kind <> 'view' OR length(name) <= 63 AND name GLOB '[a-z]*' AND name NOT GLOB '*[^-a-z0-9_]*'),
    number       INTEGER NOT NULL CHECK (number > 0),
    digest       TEXT             REFERENCES new_modules (digest), -- NULL for a deactivation
    replaces     TEXT             REFERENCES new_modules (digest), -- what worked until then; NULL for the first, and after a deactivation
    activated_at INTEGER NOT NULL,
    activated_by TEXT,
    message      TEXT,
    accepted     TEXT    NOT NULL, -- a JSON array of text
    report       TEXT    NOT NULL,
    PRIMARY KEY (namespace, kind, name, number)
) STRICT;

INSERT INTO new_activations (namespace, name, number, digest, replaces, activated_at, activated_by, message, accepted, report)
SELECT namespace, decider, number, digest, replaces, activated_at, activated_by, message, accepted, report FROM activations;

CREATE TABLE new_module_uploads (
    digest      TEXT NOT NULL REFERENCES new_modules (digest) ON DELETE CASCADE,
    uploaded_by TEXT NOT NULL,
    PRIMARY KEY (digest, uploaded_by)
) STRICT, WITHOUT ROWID;

INSERT INTO new_module_uploads (digest, uploaded_by) SELECT digest, uploaded_by FROM module_uploads;

DROP TABLE activations;
DROP TABLE module_uploads;
DROP TABLE modules;
-- What refers to a table goes on doing so under its new name.
ALTER TABLE new_modules RENAME TO modules;
ALTER TABLE new_activations RENAME TO activations;
ALTER TABLE new_module_uploads RENAME TO module_uploads;

CREATE TRIGGER modules_are_never_updated BEFORE UPDATE ON modules
BEGIN
    SELECT RAISE(ABORT, 'modules are immutable');
END;

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
    SELECT max(number) FROM activations WHERE namespace = NEW.namespace AND kind = NEW.kind AND name = NEW.name
), 0)
BEGIN
    SELECT RAISE(ABORT, 'the number of an activation is one more than that of the newest');
END;

ALTER TABLE rehearsals RENAME COLUMN decider TO name;
ALTER TABLE rehearsals ADD COLUMN kind TEXT NOT NULL DEFAULT 'decider' CHECK (kind IN ('decider', 'process', 'view'));

DROP INDEX rehearsals_decider;
CREATE INDEX rehearsals_key ON rehearsals (namespace, kind, name, id);

PRAGMA user_version = 34;

-- What means something else in a URL names no new stream; one that has such an id already goes on.
DROP TRIGGER events_are_bounded;
CREATE TRIGGER events_are_bounded BEFORE INSERT ON events
BEGIN
    SELECT RAISE(ABORT, 'created_at is not within the years 1 to 9999')
    WHERE NEW.created_at NOT BETWEEN -62135596800000 AND 253402300799999;
    SELECT RAISE(ABORT, 'namespace, decider and decider_id do not name a stream')
    WHERE NEW.version = 1 AND (
        length(NEW.namespace) NOT BETWEEN 1 AND 63
        OR NEW.namespace NOT GLOB '[a-z0-9]*'
        OR NEW.namespace GLOB '*[^-a-z0-9]*'
        OR length(NEW.decider) NOT BETWEEN 1 AND 128
        OR NEW.decider NOT GLOB '[A-Za-z]*'
        OR NEW.decider GLOB '*[^-A-Za-z0-9_]*'
        OR length(CAST(NEW.decider_id AS BLOB)) NOT BETWEEN 1 AND 255
        OR NEW.decider_id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        OR instr(NEW.namespace || NEW.decider || NEW.decider_id, char(0)) > 0
        OR NEW.decider_id IN ('activations', 'deactivations', 'logs', 'openapi.json', 'rehearsals', 'rollback', 'streams')
    );
END;
