-- payment_events/list_generated: the events under the ids that the other rows of the batch name
SELECT idempotency_key, id
FROM payment_events
WHERE id BETWEEN @i AND @i + {last} * @s AND MOD(id - @i, @s) = 0
ORDER BY id
