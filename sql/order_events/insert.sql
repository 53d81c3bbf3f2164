-- order_events/insert: transitions that no payment event caused, many at once
INSERT INTO order_events (order_id, from_status, to_status, reason, told)
VALUES {rows}
