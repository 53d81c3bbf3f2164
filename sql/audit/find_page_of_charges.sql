-- audit/find_page_of_charges: the last charge of the next page; none when the rest of the table is less than a page
SELECT provider, name
FROM charges
WHERE provider > :first_provider OR (provider = :first_provider AND name >= :first_name)
ORDER BY provider, name
LIMIT 1 OFFSET :offset
