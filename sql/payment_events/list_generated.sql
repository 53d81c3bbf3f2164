-- payment_events/list_generated: the batch that was just inserted, under the ids that its other rows will name
SELECT idempotency_key, id
FROM payment_events
WHERE id BETWEEN LAST_INSERT_ID() AND LAST_INSERT_ID() + {last}
ORDER BY id
