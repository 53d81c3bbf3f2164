-- payment_events/insert_settled: an event that has its outcome when it is stored; a copy is counted
INSERT INTO payment_events (provider, idempotency_key, fingerprint, status, meaning, order_id, hold_id, amount, currency,
                            txn_id, restock, cumulative, provider_timestamp, source, correlation_id, headers, body,
                            due_at, settled_at)
VALUES (:provider, :idempotency_key, :fingerprint, :status, :meaning, :order_id, :hold_id, :amount, :currency,
        :txn_id, :restock, :cumulative, :provider_timestamp, :source, :correlation_id, :headers, :body,
        NULL, NOW(6))
ON DUPLICATE KEY UPDATE deliveries = deliveries + 1
