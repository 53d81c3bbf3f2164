-- audit/list_feed: what a page of the feed tells
SELECT events
FROM feed_batches
WHERE id BETWEEN :first AND :last
