"""Real wells, from a CSV file by the command espstream, through the server, back by both queries.

The file is wells_3w.csv of the 3W data set: ESP_WELLS_3W, or ../shared/data beside the project. Skipped without it.
"""

from __future__ import annotations

import csv
import datetime
import os
import struct
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import grpc
import pytest

from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import ROOT, Espd

CANDIDATES = [Path(os.environ.get("ESP_WELLS_3W", "-")),
              *(folder / "shared/data/wells_3w.csv" for folder in (ROOT.parent, ROOT.parent.parent))]
WELLS = next((path for path in CANDIDATES if path.is_file()), None)

pytestmark = pytest.mark.skipif(
    WELLS is None, reason="no ../shared/data/wells_3w.csv (or ESP_WELLS_3W): the 3W data set")

PASCALS_PER_PSI = 6894.757293168361
START = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) \
    - datetime.timedelta(days=20)
START_US = int(START.timestamp()) * 1_000_000
END_US = START_US + 21 * 86_400 * 1_000_000
PRESSURES = {"wellhead_pressure_pa": "pressure", "annulus_pressure_pa": "intake_pressure",
             "choke_pressure_pa": "discharge_pressure"}

Reading = tuple[int, tuple[tuple[str, float], ...]]
"""Time and the signals that are there."""


def float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def wells() -> tuple[dict[str, list[Reading]], list[tuple[str, int]]]:
    """What must be stored, by well in time order, and (well, time) of what must be quarantined: a negative wellhead
    pressure. A plain reading of the file, independent of the client's.
    """
    stored, quarantined = defaultdict(list), []
    assert WELLS is not None
    with WELLS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = {"temperature": float32(float(row["wellhead_temperature_degc"]))}
            values |= {signal: float32(float(row[column]) / PASCALS_PER_PSI)
                       for column, signal in PRESSURES.items() if row[column]}
            time_us = START_US + int(row["seconds"]) * 1_000_000
            if values.get("pressure", 0) < 0 or not -50 <= values["temperature"] <= 200:
                quarantined.append((row["well"], time_us))
            else:
                stored[row["well"]].append((time_us, tuple(sorted(values.items()))))
    return {well: sorted(rows) for well, rows in stored.items()}, quarantined


def plain(reading: pb.Reading) -> Reading:
    signals = tuple(sorted((field.name, value) for field, value in reading.ListFields()
                           if field.type == field.TYPE_FLOAT))
    return reading.timestamp.ToMicroseconds(), signals


def by_device(readings: list[pb.StoredReading]) -> dict[str, list[Reading]]:
    found = defaultdict(list)
    for stored in readings:
        found[stored.reading.device_id].append(plain(stored.reading))
    return dict(found)


@pytest.fixture(scope="module")
def server(shared: Espd) -> Espd:
    """With the file in it; sent twice, the second time there is nothing to send."""
    for number in range(2):
        command = [
            sys.executable, "-m", "espclient.espstream", str(WELLS), "--target", shared.target,
            "--device-column", "well", "--time-column", "seconds", "--start", START.isoformat(),
            "--map", "wellhead_temperature_degc=temperature", "--quiet",
            *(word for column, signal in PRESSURES.items() for word in ("--map", f"{column}={signal}")),
            *(word for signal in PRESSURES.values() for word in ("--unit", f"{signal}=Pa"))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        wanted = 4 if wells()[1] and number == 0 else 0
        assert done.returncode == wanted, done.stdout + done.stderr
    return shared


def query(server: Espd, **request: object) -> list[list[pb.StoredReading]]:
    """All pages of a query."""
    pages, token = [], ""
    wanted = pb.QueryReadingsRequest(**request)
    wanted.start_time.FromMicroseconds(START_US)
    wanted.end_time.FromMicroseconds(END_US)
    with grpc.insecure_channel(server.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        while True:
            wanted.page_token = token
            page = stub.QueryReadings(wanted, timeout=60)
            pages.append(list(page.readings))
            token = page.next_page_token
            if not token:
                return pages


def names() -> list[str]:
    return list(wells()[0])


@pytest.mark.parametrize("order", ["ORDER_ASC", "ORDER_DESC"])
@pytest.mark.parametrize("limit", [997, 10_000])
def test_pages_of_all_wells_give_every_value_once_in_order(server: Espd, order: str, limit: int):
    pages = query(server, device_id=names(), limit=limit, order=order)
    assert all(len(page) == limit for page in pages[:-1])
    readings = [stored for page in pages for stored in page]
    keys = [(stored.reading.timestamp.ToMicroseconds(), stored.reading.device_id) for stored in readings]
    assert keys == sorted(keys, reverse=order == "ORDER_DESC")
    found = by_device(readings)
    assert {well: sorted(rows) for well, rows in found.items()} == wells()[0]


def test_a_query_by_device_gives_that_device_alone(server: Espd):
    for well, rows in wells()[0].items():
        pages = query(server, device_id=[well], limit=10_000, order="ORDER_ASC")
        assert by_device([stored for page in pages for stored in page]) == {well: rows}


def test_the_export_gives_every_value_in_time_order(server: Espd):
    request = pb.ExportReadingsRequest(device_id=names())
    request.start_time.FromMicroseconds(START_US)
    request.end_time.FromMicroseconds(END_US)
    with grpc.insecure_channel(server.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        readings = [answer.reading for answer in stub.ExportReadings(request, timeout=60)]
    times = [stored.reading.timestamp.ToMicroseconds() for stored in readings]
    assert times == sorted(times)
    assert by_device(readings) == wells()[0]
    assert all(stored.data_quality_score == 1 and not stored.is_anomaly and stored.HasField("ingestion_timestamp")
               and stored.reading.source_system == "scada" for stored in readings)


def test_negative_pressures_of_the_file_are_dead_letters(server: Espd):
    rows = server.database.rows(
        "SELECT device_id, (extract(epoch FROM reading_timestamp) * 1000000)::bigint AS time_us, reason, field "
        f"FROM dead_letters WHERE device_id IN ({', '.join(repr(well) for well in names())})")
    assert {(row["reason"], row["field"]) for row in rows} <= {("OUT_OF_RANGE", "pressure")}
    assert sorted((row["device_id"], row["time_us"]) for row in rows) == sorted(wells()[1])
