-- tickets/insert_again: another ticket of a unit, in the transaction that makes the one before it void
INSERT INTO tickets (order_id, product_id, unit, issue, event_id, code, seat, issued_by, issue_key)
VALUES {rows}
