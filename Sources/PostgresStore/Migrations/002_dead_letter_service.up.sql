-- What DeadLetterService shows and filters by: who sent it, when it was last judged, and an order to list in.
-- `reason` and `field` are those of the last time; `received_at` is the first, `attempts` counts both.

ALTER TABLE dead_letters ADD COLUMN principal TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN last_attempt_at TIMESTAMPTZ;
UPDATE dead_letters SET last_attempt_at = received_at;
ALTER TABLE dead_letters ALTER COLUMN last_attempt_at SET NOT NULL;
ALTER TABLE dead_letters ALTER COLUMN last_attempt_at SET DEFAULT NOW();

-- Pages are in the order (received_at, id); each index is in that order within what it filters by.
CREATE INDEX ix_dead_letters_time ON dead_letters (received_at, id);
CREATE INDEX ix_dead_letters_producer ON dead_letters (producer_id, received_at, id);
CREATE INDEX ix_dead_letters_reason ON dead_letters (reason, received_at, id);
