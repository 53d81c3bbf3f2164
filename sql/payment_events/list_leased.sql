-- payment_events/list_leased: those events of a batch that this worker has leased
SELECT id, provider, idempotency_key, meaning, order_id, hold_id, amount, currency, txn_id, restock, cumulative,
       provider_timestamp, source, correlation_id
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id IN ({ids}) AND status = 'received' AND attempts = 1 AND due_at = {due_at}
ORDER BY id
