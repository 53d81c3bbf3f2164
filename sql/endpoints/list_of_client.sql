-- endpoints/list_of_client: the endpoints of a client to which events are pushed
SELECT id
FROM endpoints
WHERE client_id = :client_id AND disabled_at IS NULL
ORDER BY id
