-- A paused view stays paused when its pointer moves, and when hosts start again.
ALTER TABLE pointers ADD COLUMN is_paused BOOLEAN NOT NULL DEFAULT FALSE;

-- The number of times that rows were changed other than by events that came: by a retry of a parked
-- row, or because the table began anew.
ALTER TABLE tables ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
