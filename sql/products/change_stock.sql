-- products/change_stock: another number of units, never less than the reserved ones, if the number is still the one that the
-- change was made from; the stock of a seated ticket type is the number of its seats
UPDATE products
SET stock = :stock
WHERE id = :product_id AND stock <=> :old_stock AND reserved <= :stock AND COALESCE(kind <> 'seated', TRUE)
