-- The readings, the cursors that make them exactly-once, and what could not be stored.
-- One table on two profiles: a hypertable where TimescaleDB is loaded, native day partitions where it is not.

DO $$
DECLARE
  has_timescale boolean := EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
    AND current_setting('shared_preload_libraries') LIKE '%timescaledb%';
BEGIN
  IF has_timescale THEN
    CREATE EXTENSION IF NOT EXISTS timescaledb;
  END IF;

  EXECUTE format($table$
    CREATE TABLE telemetry (
      timestamp           TIMESTAMPTZ NOT NULL,
      device_id           TEXT COLLATE "C" NOT NULL,
      temperature         REAL CONSTRAINT telemetry_temperature_range CHECK (temperature BETWEEN -50 AND 200),
      vibration           REAL CONSTRAINT telemetry_vibration_range CHECK (vibration >= 0),
      pressure            REAL CONSTRAINT telemetry_pressure_range CHECK (pressure >= 0),
      flow_rate           REAL CONSTRAINT telemetry_flow_rate_range CHECK (flow_rate >= 0),
      motor_current       REAL CONSTRAINT telemetry_motor_current_range CHECK (motor_current >= 0),
      rpm                 REAL CONSTRAINT telemetry_rpm_range CHECK (rpm >= 0),
      intake_pressure     REAL,
      discharge_pressure  REAL,
      data_quality_score  REAL DEFAULT 1.0,
      is_anomaly          BOOLEAN DEFAULT FALSE,
      ingestion_timestamp TIMESTAMPTZ DEFAULT NOW(),
      source_system       TEXT DEFAULT 'scada',
      -- Additions to the fourteen columns above; all may be NULL.
      frequency           REAL,
      motor_voltage       REAL,
      intake_temperature  REAL,
      current_unbalance   REAL,
      leakage_current     REAL,
      quality             BIGINT -- an OPC UA status code is a uint32
    ) %s $table$, CASE WHEN has_timescale THEN '' ELSE 'PARTITION BY RANGE (timestamp)' END);

  IF has_timescale THEN
    PERFORM create_hypertable('telemetry', 'timestamp', chunk_time_interval => INTERVAL '1 day',
                              create_default_indexes => FALSE);
  END IF;
END $$;

CREATE INDEX ix_telemetry_device_time ON telemetry (device_id, timestamp DESC);
-- The order of an answer is (timestamp, device_id), so a page of anomalies is read straight from the index.
CREATE INDEX ix_telemetry_anomaly ON telemetry (timestamp DESC, device_id DESC) WHERE is_anomaly = TRUE;
-- A few pages a day: lets "all devices, last hour" read an hour instead of a day.
CREATE INDEX ix_telemetry_time ON telemetry USING brin (timestamp) WITH (pages_per_range = 32, autosummarize = on);

-- Updated in the transaction of the data. Half-filled pages keep each update within its page (HOT).
CREATE TABLE producer_cursor (
  producer_id   TEXT COLLATE "C" PRIMARY KEY,
  last_sequence BIGINT NOT NULL CHECK (last_sequence >= 0),
  updated_at    TIMESTAMPTZ NOT NULL DEFAULT NOW()
) WITH (fillfactor = 50);

CREATE TABLE dead_letters (
  id                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_at       TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  reason            TEXT NOT NULL,
  field             TEXT NOT NULL,
  device_id         TEXT NOT NULL,
  reading_timestamp TIMESTAMPTZ,
  producer_id       TEXT COLLATE "C" NOT NULL,
  sequence          BIGINT NOT NULL,
  original          BYTEA NOT NULL,
  attempts          INT NOT NULL DEFAULT 1
);
