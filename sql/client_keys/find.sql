-- client_keys/find: a key of a client
SELECT public_key
FROM client_keys
WHERE client_id = :client_id AND kid = :kid
