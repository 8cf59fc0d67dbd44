-- Where else a server that is reached by URL can be asked: a JSON array of {"endpoint", "weight"}; and how the work is shared out.
ALTER TABLE server_registrations ADD COLUMN replicas TEXT NOT NULL DEFAULT '[]';
ALTER TABLE server_registrations ADD COLUMN strategy TEXT NOT NULL DEFAULT 'round_robin'
    CHECK (strategy IN ('round_robin', 'weighted', 'least_connections', 'random', 'consistent_hash'));
