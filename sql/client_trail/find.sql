-- client_trail/find: the client of a change, if it was made
SELECT client_id
FROM client_trail
WHERE change_id = :change_id
