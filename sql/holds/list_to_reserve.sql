-- holds/list_to_reserve: the units of a hold that a late payment takes again, with what decides whether they are counted, and whether
-- their event was cancelled
SELECT holds.product_id, holds.qty, holds.counted_on, holds.event_counted_on, holds.seats, products.max_per_buyer,
       products.event_max_per_buyer, products.cancelled_at IS NOT NULL AS event_cancelled, owners.client_id, owners.buyer
FROM holds
LEFT JOIN products ON products.id = holds.product_id
LEFT JOIN hold_owners AS owners ON owners.hold_id = holds.id
WHERE holds.id = :hold_id
ORDER BY holds.product_id
