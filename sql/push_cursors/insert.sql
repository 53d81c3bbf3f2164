-- push_cursors/insert: how far a new endpoint has the feed
INSERT INTO push_cursors (endpoint_id, epoch, position)
VALUES (:endpoint_id, :epoch, :position)
