-- A paused view stays paused when its pointer moves, and when hosts start again.
ALTER TABLE "gavel_rows.pointers" ADD COLUMN is_paused INTEGER NOT NULL DEFAULT 0;

-- The number of times that rows were changed other than by events that came: by a retry of a parked
-- row, or because the table began anew.
ALTER TABLE "gavel_rows.tables" ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
