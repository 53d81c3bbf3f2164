-- products/give_back: units go back on sale, for many products in one statement and in the order of their ids
UPDATE products FORCE INDEX (PRIMARY)
SET reserved = reserved - CASE id {cases} END
WHERE id IN ({ids})
