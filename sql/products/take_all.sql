-- products/take_all: reserves the units of a batch of carts, for all of their products in one statement and in the order of their
-- ids; fewer rows mean that units are missing, or that terms are not those that the holds were written with
UPDATE products FORCE INDEX (PRIMARY)
SET reserved = reserved + CASE id {units} END
WHERE id IN ({ids}) AND available >= CASE id {units} END AND price_minor <=> CASE id {price_minor} END
  AND currency <=> CASE id {currency} END AND plain
