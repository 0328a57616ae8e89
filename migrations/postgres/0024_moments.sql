-- The newest of the commands that have left no event, by the clocks of those who have decided them.
CREATE INDEX commands_eventless_now_idx ON commands (namespace, decider, now) WHERE events = 0;
