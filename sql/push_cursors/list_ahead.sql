-- push_cursors/list_ahead: endpoints that are farther than the feed, since it has lost positions and they have not
-- reads everything: endpoints are few, and an instance runs it when it starts
SELECT push_cursors.endpoint_id, feed.safe
FROM feed
JOIN push_cursors ON push_cursors.position > feed.safe
WHERE feed.id = 1
ORDER BY push_cursors.endpoint_id
