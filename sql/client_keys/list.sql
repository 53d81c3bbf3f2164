-- client_keys/list: the keys of these clients
SELECT client_id, kid, public_key, added_at
FROM client_keys
WHERE client_id IN ({ids})
ORDER BY client_id, kid
