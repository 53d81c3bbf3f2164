-- tickets/insert: the first tickets of units, in the transaction that pays their orders
INSERT INTO tickets (order_id, product_id, unit, event_id, code, seat)
VALUES {rows}
