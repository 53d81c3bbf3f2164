-- push_failures/delete_behind: positions that are given again are those of other events
DELETE FROM push_failures
WHERE endpoint_id IN ({ids}) AND position > {position}
