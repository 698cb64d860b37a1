-- Back to 002; nothing is lost.

DROP INDEX ix_telemetry_ingested;
