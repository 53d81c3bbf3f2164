-- inspection/find_time: the server's clock, in UTC
-- reads no table: the server reads its clock
SELECT UTC_TIMESTAMP(6)
