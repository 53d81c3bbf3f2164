-- The labels of the seats that a row of a hold has, or had until its units went back on sale, in lines; NULL for other units. A late
-- payment finds the seats by them. An older version inserts rows without the column and ignores it.
ALTER TABLE holds
  ADD COLUMN seats BLOB NULL,
  ALGORITHM = INSTANT
