-- When the lease or rest began that ends at available_at. The clock may be set back meanwhile: what began in the future, by more than it was to last,
-- is over. As an older host leaves it, at 0, a row waits for its time.
ALTER TABLE consumer_streams ADD COLUMN available_since INTEGER NOT NULL DEFAULT 0;
