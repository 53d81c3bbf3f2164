-- audit/push_cursor_wrong: an endpoint has a cursor, which is not behind the end of the feed
SELECT endpoints.id, COALESCE(CONCAT('its cursor is at ', push_cursors.epoch, '.', push_cursors.position, ', and the feed ends at ',
  feed.epoch, '.', feed.position), 'it has no cursor')
FROM endpoints
JOIN feed ON feed.id = 1
LEFT JOIN push_cursors ON push_cursors.endpoint_id = endpoints.id
WHERE endpoints.id BETWEEN :first AND :last
  AND (push_cursors.endpoint_id IS NULL OR push_cursors.epoch > feed.epoch
    OR (push_cursors.epoch = feed.epoch AND push_cursors.position > feed.position))
