-- readiness/insert_no_payment_events: inserts no row; fails when the table is missing, locked or read-only, or INSERT is not
-- granted
INSERT INTO payment_events (provider, idempotency_key, fingerprint, meaning, body)
SELECT provider, idempotency_key, fingerprint, meaning, body
FROM payment_events
WHERE FALSE
