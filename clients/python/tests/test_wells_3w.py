"""The real wells of the 3W data set: every value as it has to arrive.

Skipped where the file is not at hand.
"""

from __future__ import annotations

import csv
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from espclient.csvfile import CsvFile
from espclient.espstream import csv_options, parse_arguments
from espclient.times import parse_iso

from server import Fault, TestServer
from store import Stored, unpack, unpack_batch

ROOT = Path(__file__).resolve().parents[3]
CANDIDATES = [
    Path(os.environ.get("ESP_WELLS_3W", "")),
    *(folder / "shared/data/wells_3w.csv" for folder in (ROOT.parent, ROOT.parent.parent)),
]
WELLS = next((path for path in CANDIDATES if path.is_file()), None)

pytestmark = pytest.mark.skipif(
    WELLS is None, reason="no ../shared/data/wells_3w.csv (or ESP_WELLS_3W): the 3W data set"
)

START = "2026-01-01T00:00:00Z"
PASCALS = {
    "wellhead_pressure_pa": "pressure",
    "annulus_pressure_pa": "intake_pressure",
    "choke_pressure_pa": "discharge_pressure",
}
OPTIONS = [
    "--device-column", "well", "--time-column", "seconds", "--start", START,
    "--map", "wellhead_temperature_degc=temperature",
    *(word for name, field in PASCALS.items() for word in ("--map", f"{name}={field}")),
    *(word for field in PASCALS.values() for word in ("--unit", f"{field}=Pa")),
]  # fmt: skip


def float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def expected() -> list[tuple[str, int, dict[str, float]]]:
    """The rows by a plain reading of the file, independent of the client's own."""
    rows = []
    assert WELLS is not None
    with WELLS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            signals = {"temperature": float32(float(row["wellhead_temperature_degc"]))}
            for name, field in PASCALS.items():
                if row[name]:
                    signals[field] = float32(float(row[name]) / 6894.757293168361)
            time_us = parse_iso(START) + int(row["seconds"]) * 1_000_000
            rows.append((row["well"], time_us, signals))
    return rows


def plain(rows: list[Stored]) -> list[tuple[str, int, dict[str, float]]]:
    return [(device, time_us, unpack(signals)) for device, time_us, signals, _ in rows]


@pytest.mark.parametrize("form", ["rows", "blocks"])
def test_every_value_is_the_float32_of_the_converted_double(form: str) -> None:
    file = CsvFile(str(WELLS), csv_options(parse_arguments(["-", "--form", form, *OPTIONS])))
    batches = list(file.batches(pytest.fail))
    assert file.plan.ignored == ("event_class",)
    assert [len(batch.columns) for batch in batches] == [1000] * 9 + [300]
    rows = [row for batch in batches for row in unpack_batch(batch.message())]
    assert plain(rows) == expected()


@pytest.mark.parametrize("form", ["rows", "blocks"])
def test_the_wells_arrive_once_although_the_server_crashes(server: TestServer, form: str) -> None:
    left = [3, 17, 40, 80]

    def fault(point: str, sequence: int) -> None:
        if point == "stored" and sequence in left:
            left.remove(sequence)
            raise Fault("CRASH")

    server.service.fault = fault
    words = [str(WELLS), "--target", server.target, "--batch", "100", "--form", form, "--quiet"]
    command = [sys.executable, "-m", "espclient.espstream", *words, *OPTIONS]
    done = subprocess.run(command, timeout=60, check=False)
    quarantined = sum(row[2].get("pressure", 0.0) < 0 for row in expected())
    assert done.returncode == (4 if quarantined else 0)
    assert left == []
    stored = sorted(plain(server.store.rows()), key=lambda row: row[:2])
    wanted = sorted(expected(), key=lambda row: row[:2])
    # The test server quarantines negative pressures.
    assert stored == [row for row in wanted if row[2].get("pressure", 0.0) >= 0]
