-- product_trail/insert: changes of products, in the transaction that makes them
INSERT INTO product_trail (product_id, change_id, place, actor, action, from_values, to_values, reason)
VALUES {rows}
