-- products/change_stock: another number of units, never less than the reserved ones, if the number is still the one that the
-- change was made from
UPDATE products
SET stock = :stock
WHERE id = :product_id AND stock <=> :old_stock AND reserved <= :stock
