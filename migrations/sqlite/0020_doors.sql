-- Who may be pushed to, and who may see a module.

ALTER TABLE consumers ADD COLUMN paused_reason TEXT; -- why a host has paused it; NULL when somebody else has

-- The tokens, by name, that have uploaded a module.
CREATE TABLE module_uploads (
    digest      TEXT NOT NULL REFERENCES modules (digest) ON DELETE CASCADE,
    uploaded_by TEXT NOT NULL,
    PRIMARY KEY (digest, uploaded_by)
) STRICT, WITHOUT ROWID;
