-- products/take_all: reserves the units of a batch of carts, for all of their products in one statement and in the order of their
-- ids; fewer rows mean that units are missing, or that terms are not those that the holds were written with
UPDATE products FORCE INDEX (PRIMARY)
SET reserved = reserved + {units}
WHERE id IN ({ids}) AND available >= {units} AND price_minor <=> {price_minor}
  AND currency <=> {currency} AND plain
