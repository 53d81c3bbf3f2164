-- inspection/find_user: the account of this session, which may have a wider host than the one that it came from
-- reads no table: it is known of the session
SELECT CURRENT_USER()
