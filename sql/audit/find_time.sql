-- audit/find_time: when the snapshot was taken
SELECT NOW(6)
