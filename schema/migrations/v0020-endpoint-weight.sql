-- Of the first endpoint of a server that is reached by URL, beside its replicas.
ALTER TABLE server_registrations ADD COLUMN endpoint_weight INTEGER NOT NULL DEFAULT 1 CHECK (endpoint_weight BETWEEN 1 AND 100);
