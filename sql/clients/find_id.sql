-- clients/find_id: the id of the client with this name
SELECT id
FROM clients
WHERE name = :name
