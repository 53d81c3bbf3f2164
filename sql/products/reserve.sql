-- products/reserve: reserves the units of a late payment, whose hold has given them back; no affected row means there are too
-- few
UPDATE products
SET reserved = reserved + :qty
WHERE id = :product_id AND available >= :qty
