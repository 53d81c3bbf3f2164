-- orders/cancel: many at once and by primary key; only the transaction that changes a row gives its units back
UPDATE orders FORCE INDEX (PRIMARY)
SET status = 'cancelled'
WHERE id IN ({ids}) AND status = 'pending'
