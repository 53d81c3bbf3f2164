-- products/reserve: reserves the units of a late payment, whose hold has given them back; no affected row means there are too
-- few, that the limit per buyer is not the one by which they were counted, or that the event was cancelled
UPDATE products
SET reserved = reserved + :qty
WHERE id = :product_id AND available >= :qty AND max_per_buyer <=> :max_per_buyer AND cancelled_at IS NULL
