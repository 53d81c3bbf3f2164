-- payment_events/insert: the unique key decides which delivery is the first; a copy is counted, so that its answer is
-- durable too
INSERT INTO payment_events (provider, idempotency_key, fingerprint, meaning, order_id, hold_id, amount, currency,
                            txn_id, restock, provider_timestamp, source, correlation_id, body)
VALUES (:provider, :idempotency_key, :fingerprint, :meaning, :order_id, :hold_id, :amount, :currency,
        :txn_id, :restock, :provider_timestamp, :source, :correlation_id, :body)
ON DUPLICATE KEY UPDATE deliveries = deliveries + 1
