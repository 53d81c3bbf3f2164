-- payment_events/insert: the unique key decides which delivery is the first; a copy is counted, so that the response to it
-- is durable too
INSERT INTO payment_events (provider, idempotency_key, fingerprint, meaning, order_id, hold_id, amount, currency, txn_id,
                            restock, cumulative, provider_timestamp, source, correlation_id, headers, body, attempts,
                            due_at, park_until)
VALUES (:provider, :idempotency_key, :fingerprint, :meaning, :order_id, :hold_id, :amount, :currency, :txn_id,
        :restock, :cumulative, :provider_timestamp, :source, :correlation_id, :headers, :body, :attempts,
        NOW(6) + INTERVAL :pause_us MICROSECOND, NOW(6) + INTERVAL :park_seconds SECOND)
ON DUPLICATE KEY UPDATE deliveries = deliveries + 1
