-- payment_links/list: the orders and holds of these objects; a charge has them without a link, even when an older version
-- wrote it
(SELECT object_id, charge_name, order_id, hold_id, FALSE AS is_charge
 FROM payment_links FORCE INDEX (PRIMARY)
 WHERE provider = {provider} AND object_id IN ({ids}))
UNION ALL
(SELECT name AS object_id, name AS charge_name, order_id, hold_id, TRUE AS is_charge
 FROM charges FORCE INDEX (PRIMARY)
 WHERE provider = {provider} AND name IN ({ids}))
