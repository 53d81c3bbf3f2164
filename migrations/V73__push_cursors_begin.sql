-- Endpoints that were registered before they had cursors begin at the end of the feed.
INSERT INTO push_cursors (endpoint_id, epoch, position)
SELECT endpoints.id, feed.epoch, feed.safe
FROM endpoints CROSS JOIN feed
WHERE feed.id = 1
ON DUPLICATE KEY UPDATE endpoint_id = push_cursors.endpoint_id
