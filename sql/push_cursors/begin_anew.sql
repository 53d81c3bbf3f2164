-- push_cursors/begin_anew: an endpoint that an operator enables has its time again
UPDATE push_cursors
SET failing_since = NULL
WHERE endpoint_id = :endpoint_id AND failing_since IS NOT NULL
