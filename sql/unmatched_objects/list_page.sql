-- unmatched_objects/list_page: a page of unmatched events by id, a row per object, and whether the object has a link or a
-- charge, or the order that the event names exists: a crash can keep both sides from looking for each other
-- reads up to 8 rows for each: an object passes the derived table, and is looked up with its event in four other tables
-- reads more while purge waits: the first page of a walk begins at the oldest event; the worker rests after it
SELECT page.event_id,
       payment_links.object_id IS NOT NULL OR charges.name IS NOT NULL OR orders.id IS NOT NULL AS known
FROM (
  SELECT provider, object_id, event_id
  FROM unmatched_objects FORCE INDEX (unmatched_objects_event)
  WHERE event_id > :after
  ORDER BY event_id
  LIMIT :limit
) AS page
LEFT JOIN payment_links ON payment_links.provider = page.provider AND payment_links.object_id = page.object_id
LEFT JOIN charges ON charges.provider = page.provider AND charges.name = page.object_id
LEFT JOIN payment_events ON payment_events.id = page.event_id
LEFT JOIN orders ON orders.id = payment_events.order_id
