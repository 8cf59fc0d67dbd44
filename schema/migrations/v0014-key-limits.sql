-- Requests a minute that a key is good for, besides its owner's own limit; null for no more than that.
ALTER TABLE api_keys ADD COLUMN per_minute INTEGER CHECK (per_minute BETWEEN 1 AND 10000000);
