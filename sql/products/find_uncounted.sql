-- products/find_uncounted: a product whose units need no count any more, have to be counted, or are being counted; a count takes
-- long, so the others come first
(SELECT id FROM products FORCE INDEX (products_by_limit) WHERE limit_state = 'enforced' AND max_per_buyer IS NULL LIMIT 1)
UNION ALL
(SELECT id FROM products FORCE INDEX (products_by_limit) WHERE limit_state = 'enforced' AND max_per_buyer < 1 LIMIT 1)
UNION ALL
(SELECT id FROM products FORCE INDEX (products_by_limit) WHERE limit_state IS NULL AND max_per_buyer >= 1 LIMIT 1)
UNION ALL
(SELECT id FROM products FORCE INDEX (products_by_limit) WHERE limit_state = 'counting' LIMIT 1)
LIMIT 1
