-- orders/cancel: many at once and by primary key; whoever gets the row gives its units back, once
UPDATE orders FORCE INDEX (PRIMARY)
SET status = 'cancelled'
WHERE id IN ({ids}) AND status = 'pending'
