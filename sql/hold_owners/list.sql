-- hold_owners/list: the owners of holds, of those that have one
SELECT hold_id, client_id, buyer, reference, metadata
FROM hold_owners FORCE INDEX (PRIMARY)
WHERE hold_id IN ({ids})
