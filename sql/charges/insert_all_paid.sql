-- charges/insert_all_paid: the charges of a batch of payments; an existing charge adds no affected row, so the batch is
-- rolled back
INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency)
VALUES {rows}
ON DUPLICATE KEY UPDATE event_id = charges.event_id
