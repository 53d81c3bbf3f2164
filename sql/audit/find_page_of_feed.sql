-- audit/find_page_of_feed: the last row of the next page of the feed; none when the rest of the table is less than a page
SELECT id FROM feed_batches WHERE id >= :first ORDER BY id LIMIT 1 OFFSET :offset
