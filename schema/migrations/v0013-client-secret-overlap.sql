-- The secret before the present one, and until when it is good as well.
ALTER TABLE oauth_clients ADD COLUMN former_secret_hash BLOB;
ALTER TABLE oauth_clients ADD COLUMN former_secret_until INTEGER;
