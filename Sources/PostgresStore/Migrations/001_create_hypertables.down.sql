-- Back to an empty database. Never drops data: the locks keep new rows out while we look.

LOCK TABLE telemetry, dead_letters, producer_cursor IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
  name text;
  has_rows boolean;
BEGIN
  FOREACH name IN ARRAY ARRAY['telemetry', 'dead_letters', 'producer_cursor'] LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO has_rows;
    IF has_rows THEN
      RAISE EXCEPTION 'table % holds rows; migrating down would drop them. Back them up and delete them first.', name
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
  END LOOP;
END $$;

DROP TABLE telemetry;
DROP TABLE dead_letters;
DROP TABLE producer_cursor;
