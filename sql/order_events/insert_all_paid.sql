-- order_events/insert_all_paid: the transitions of a batch of payments, with the data of their events
INSERT INTO order_events (order_id, from_status, to_status, reason, payment_event_id, txn_id, amount, currency,
                          provider_timestamp, source, correlation_id, told)
VALUES {rows}
