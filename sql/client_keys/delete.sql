-- client_keys/delete: ends a key of a client
DELETE FROM client_keys
WHERE client_id = :client_id AND kid = :kid
