-- products/give_back_replaced: as products/give_back, for holds that carts replace, in one packet with the statement that ends them:
-- when that did not find them, the units may be back already. Locks the products of the carts, too, of which no unit comes back
UPDATE products FORCE INDEX (PRIMARY)
SET reserved = reserved - CASE id {cases} END
WHERE id IN ({ids}) AND reserved >= CASE id {cases} END
