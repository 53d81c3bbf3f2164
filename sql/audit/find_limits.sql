-- audit/find_limits: no row when there is no counter, and no product and no event with a limit per buyer: then no hold can be counted
-- wrongly
(SELECT 1 AS found FROM buyer_units WHERE id >= x'00' ORDER BY id LIMIT 1)
UNION ALL
(SELECT 1 AS found FROM products FORCE INDEX (products_by_limit) WHERE limit_state = 'enforced' LIMIT 1)
UNION ALL
(SELECT 1 AS found FROM events FORCE INDEX (events_by_limit) WHERE max_per_buyer >= 1 LIMIT 1)
LIMIT 1
