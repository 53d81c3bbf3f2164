-- order_events/insert_all_paid: a batch of payments, with what their events said
INSERT INTO order_events (order_id, from_status, to_status, reason, payment_event_id, txn_id, amount, currency,
                          provider_timestamp, source, correlation_id)
VALUES {rows}
