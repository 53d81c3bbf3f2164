-- endpoints/find_live: one endpoint, if events are pushed to it, with the secrets that sign for it
SELECT id, url, types, client_id, secret, older_secret
FROM endpoints
WHERE id = :endpoint_id AND disabled_at IS NULL
