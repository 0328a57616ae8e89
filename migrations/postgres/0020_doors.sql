-- Who may be pushed to, and who may see a module.

-- Why a host has paused a consumer; NULL when somebody else has, or it is not paused.
ALTER TABLE consumers ADD COLUMN paused_reason TEXT;

-- The tokens, by name, that have uploaded a module.
CREATE TABLE module_uploads (
    digest      TEXT COLLATE "C" NOT NULL,
    uploaded_by TEXT COLLATE "C" NOT NULL,
    CONSTRAINT module_uploads_pkey PRIMARY KEY (digest, uploaded_by),
    CONSTRAINT module_uploads_digest_fkey FOREIGN KEY (digest) REFERENCES modules (digest) ON DELETE CASCADE
);
