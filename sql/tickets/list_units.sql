-- tickets/list_units: the units of ticket types that the orders of these holds get tickets for. The rows of an ordered hold do not
-- change, and a product is a ticket type of one event for ever
SELECT holds.id, holds.product_id, holds.qty, holds.seats, products.event_id
FROM holds
JOIN products ON products.id = holds.product_id AND products.kind IS NOT NULL
WHERE holds.id IN ({ids})
ORDER BY holds.id, holds.product_id
