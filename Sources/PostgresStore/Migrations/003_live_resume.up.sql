-- A subscriber that comes back is given what was stored meanwhile, found by the time of storing. Rows lie in that order,
-- so that a BRIN of a few pages a day is enough.

CREATE INDEX ix_telemetry_ingested ON telemetry USING brin (ingestion_timestamp)
  WITH (pages_per_range = 32, autosummarize = on);
