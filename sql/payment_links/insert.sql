-- payment_links/insert: objects of one payment with their order or hold; an object that is linked already keeps its link
INSERT INTO payment_links (provider, object_id, charge_name, order_id, hold_id)
VALUES {rows}
ON DUPLICATE KEY UPDATE object_id = payment_links.object_id
