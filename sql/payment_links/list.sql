-- payment_links/list: what is known of these objects; a charge has its order and hold without a link, also where a program
-- wrote it that knows no links
(SELECT object_id, charge_name, order_id, hold_id, FALSE AS is_charge
 FROM payment_links FORCE INDEX (PRIMARY)
 WHERE provider = {provider} AND object_id IN ({ids}))
UNION ALL
(SELECT name AS object_id, name AS charge_name, order_id, hold_id, TRUE AS is_charge
 FROM charges FORCE INDEX (PRIMARY)
 WHERE provider = {provider} AND name IN ({ids}))
