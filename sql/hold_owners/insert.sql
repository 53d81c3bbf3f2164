-- hold_owners/insert: the owners of the holds of a batch, of those that have one to store
INSERT INTO hold_owners (hold_id, client_id, buyer, reference, metadata)
VALUES {rows}
ON DUPLICATE KEY UPDATE hold_id = hold_owners.hold_id
