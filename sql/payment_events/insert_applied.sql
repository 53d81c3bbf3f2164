-- payment_events/insert_applied: a batch of plain successes, which pay their orders in the same packet; a copy counts as two
-- rows, so the batch is rolled back
INSERT INTO payment_events (provider, idempotency_key, fingerprint, status, meaning, order_id, hold_id, amount, currency,
                            txn_id, provider_timestamp, source, correlation_id, headers, body, processing_us, attempts,
                            due_at, settled_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE deliveries = deliveries + 1
