-- endpoint_trail/find: the endpoint of a change, if it was made
SELECT endpoint_id
FROM endpoint_trail
WHERE change_id = :change_id
