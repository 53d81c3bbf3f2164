-- order_owners/insert: the owners of the orders of a batch, of those that have one to store
INSERT INTO order_owners (order_id, client_id, buyer, reference, metadata)
VALUES {rows}
ON DUPLICATE KEY UPDATE order_id = order_owners.order_id
