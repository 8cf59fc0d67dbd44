-- What a server may ask users for: a JSON array of elicitation, sampling, roots.
ALTER TABLE server_registrations ADD COLUMN questions TEXT NOT NULL DEFAULT '["elicitation","sampling","roots"]';
