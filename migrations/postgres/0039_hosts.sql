-- Heartbeats: which hosts are alive, by the server's clock. Hosts share their work by it.

-- Not logged, so that no heartbeat waits for a disk: after a crash of the server hosts say again that they are there.
CREATE UNLOGGED TABLE hosts (
    -- Made up at each start of a host.
    host    UUID             NOT NULL,
    -- Where the host has its rows of views: who has them elsewhere shares no tables with it.
    rows    TEXT COLLATE "C" NOT NULL,
    seen_at TIMESTAMPTZ      NOT NULL,
    CONSTRAINT hosts_pkey PRIMARY KEY (host)
-- A heartbeat has room beside the last one.
) WITH (fillfactor = 20);
