-- The API key that opened the session, which is good for nobody else; NULL where it was a sign-in. Sessions from before are of sign-ins: a client
-- with a key shakes hands once more.
ALTER TABLE client_sessions ADD COLUMN key_id INTEGER;
