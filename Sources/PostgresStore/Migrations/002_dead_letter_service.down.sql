-- Back to 001. Never drops data: the lock keeps new rows out while we look.

LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
  IF EXISTS (SELECT FROM dead_letters WHERE principal <> '' OR last_attempt_at <> received_at) THEN
    RAISE EXCEPTION 'table dead_letters says who sent its rows or when they were tried again; migrating down would '
      'drop that. Requeue or discard them first.'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
END $$;

DROP INDEX ix_dead_letters_time;
DROP INDEX ix_dead_letters_producer;
DROP INDEX ix_dead_letters_reason;
ALTER TABLE dead_letters DROP COLUMN last_attempt_at;
ALTER TABLE dead_letters DROP COLUMN principal;
