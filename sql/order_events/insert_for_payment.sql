-- order_events/insert_for_payment: a transition with the data of its payment event
INSERT INTO order_events (order_id, from_status, to_status, reason, payment_event_id, txn_id, amount, currency,
                          provider_timestamp, source, correlation_id, told)
SELECT :order_id, :from_status, :to_status, :reason, id, txn_id, amount, currency,
       provider_timestamp, source, correlation_id, TRUE
FROM payment_events
WHERE id = :event_id
