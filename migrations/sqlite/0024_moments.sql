-- The commands that have left no event, in the order in which they were stored: the rowid is the last column of every index.
CREATE INDEX commands_eventless_stored ON commands (namespace, decider) WHERE events = 0;
