-- push_failures/delete: events that were delivered after all, or that are no longer in the feed
DELETE FROM push_failures
WHERE endpoint_id = {endpoint_id} AND position IN ({positions})
