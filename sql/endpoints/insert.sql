-- endpoints/insert: a new endpoint
INSERT INTO endpoints (url, types, client_id, secret, disabled_at, disabled_reason)
VALUES (:url, :types, :client_id, :secret, IF(:enabled, NULL, NOW(6)), IF(:enabled, NULL, 'operator'))
