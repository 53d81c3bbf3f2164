-- orders/mark_all_paid: a batch of orders, each by its own charge; touches no product: the units were reserved at the hold
UPDATE orders FORCE INDEX (PRIMARY)
SET status = 'paid', charge_provider = CASE id {providers} END, charge_txn_id = CASE id {txn_ids} END
WHERE id IN ({ids}) AND status = 'pending'
