-- orders/insert_with_seats: as orders/insert, where units of some orders are seats
INSERT INTO orders (id, hold_id, total_minor, currency, created_at, pay_by, client_id, seats)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = orders.id
