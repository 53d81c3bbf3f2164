-- feed/find: how far the feed is
SELECT epoch, position, safe
FROM feed
WHERE id = 1
