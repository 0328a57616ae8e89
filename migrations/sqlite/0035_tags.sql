-- Consumers choose events by tags as well: only those that have all of these; none for all.

ALTER TABLE consumers ADD COLUMN tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags));
