-- payment_events/list_generated: the batch under the ids that its other rows name
SELECT idempotency_key, id
FROM payment_events
WHERE id BETWEEN @i AND @i + {last} * @s AND MOD(id - @i, @s) = 0
ORDER BY id
