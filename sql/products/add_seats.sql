-- products/add_seats: the stock of a seated ticket type grows by its new seats; its row stays locked until the commit, so that the
-- next request numbers its seats behind these
UPDATE products
SET stock = stock + :seats
WHERE id = :product_id AND kind = 'seated' AND event_id <=> :event_id
