-- The lives of the log. Each opening of the file by a host begins one, which readers see in the positions of its events: when an older copy of
-- the file is put back, what is appended from then on is never taken for what was lost.

CREATE TABLE generations (
    begins_after INTEGER NOT NULL PRIMARY KEY, -- the "offset" of the last event before it; one without events makes room for the next
    generation   INTEGER NOT NULL UNIQUE       -- greater than those before it, and no less than the time of its beginning
) STRICT;

-- All that was appended while positions had no generation.
INSERT INTO generations (begins_after, generation) VALUES (-1, 0);
