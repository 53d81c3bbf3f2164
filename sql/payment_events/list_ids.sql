-- payment_events/list_ids: the ids of a batch of events, by key
SELECT idempotency_key, id, fingerprint
FROM payment_events
WHERE (provider, idempotency_key) IN ({rows})
