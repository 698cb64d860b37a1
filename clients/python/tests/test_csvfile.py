"""CSV files: mapping, times, bad cells, and batches that are always the same."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from espclient.csvfile import CsvFile
from espclient.errors import BadCell, BadInput
from espclient.plan import CsvOptions
from espclient.times import format_iso, parse_iso

from store import Stored, unpack, unpack_batch

Write = Callable[[str], Path]
START = parse_iso("2026-01-01T00:00:00Z")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a CSV file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "readings.csv"
        path.write_bytes(text.encode())
        return path

    return write


def fail(bad: BadCell) -> None:
    raise bad


def readings(file: CsvFile) -> list[Stored]:
    """All readings of a file, as they would be stored."""
    return [row for batch in file.batches(fail) for row in unpack_batch(batch.message())]


def float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def test_columns_named_like_fields_map_by_themselves_and_others_are_ignored(write: Write) -> None:
    path = write("timestamp,device_id,operator,rpm,pressure\n2026-01-01T00:00:01Z,W-1,Ann,3450,2\n")
    file = CsvFile(path, CsvOptions())
    assert file.plan.ignored == ("operator",)
    [(device, time_us, signals, source)] = readings(file)
    assert (device, time_us, source) == ("W-1", START + 1_000_000, "")
    assert unpack(signals) == {"rpm": 3450.0, "pressure": 2.0}


def test_a_mapped_column_goes_before_one_of_the_same_name(write: Write) -> None:
    path = write("device_id,timestamp,pressure,raw=pa\nW,2026-01-01,1,6894757.293168361\n")
    options = CsvOptions(columns={"raw=pa": "pressure"}, units={"pressure": "Pa"})
    file = CsvFile(path, options)
    assert unpack(readings(file)[0][2]) == {"pressure": 1000.0}
    assert file.plan.ignored == ("pressure",)


def test_an_empty_cell_and_nan_are_missing_signals_in_both_forms(write: Write) -> None:
    text = "timestamp,rpm,pressure\n2026-01-01,1,\n2026-01-02, NaN ,2\n2026-01-03,nan,\n"
    for blocks in (False, True):
        options = CsvOptions(device="W", blocks=blocks)
        rows = readings(CsvFile(write(text), options))
        assert [unpack(row[2]) for row in rows] == [{"rpm": 1.0}, {"pressure": 2.0}, {}]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-01-01T00:00:00Z", START),
        ("2026-01-01T00:00:00", START),
        ("2026-01-01 03:00:00+03:00", START),
        ("2025-12-31T19:30:00.000001-04:30", START + 1),
        ("2026-01-01", START),
        ("1969-12-31T23:59:59.5Z", -500_000),
    ],
)
def test_iso_times_with_zone_offset_or_neither_are_utc(
    write: Write, cell: str, expected: int
) -> None:
    path = write(f"timestamp,rpm\n{cell},1\n")
    assert readings(CsvFile(path, CsvOptions(device="W")))[0][1] == expected


@pytest.mark.parametrize(
    ("cell", "step"), [("0", 0), ("60", 60_000_000), ("0.0000014", 1), ("-1.5", -1_500_000)]
)
def test_numeric_times_are_seconds_after_the_start(write: Write, cell: str, step: int) -> None:
    path = write(f"timestamp,rpm\n{cell},1\n")
    options = CsvOptions(device="W", start_us=START)
    assert readings(CsvFile(path, options))[0][1] == START + step


def test_times_print_with_the_decimals_that_they_need() -> None:
    assert format_iso(START) == "2026-01-01T00:00:00Z"
    assert format_iso(START + 1000) == "2026-01-01T00:00:00.001Z"
    assert format_iso(-1) == "1969-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timestamp,rpm\n2026-01-01,1\nyesterday,2\n", "line 3, column timestamp: 'yesterday'"),
        ("timestamp,rpm\n12,1\n", "line 2, column timestamp: '12' is not .* give --start"),
        ("timestamp,rpm\n,1\n", "line 2, column timestamp: no time"),
        ("timestamp,rpm\n2026-01-01,fast\n", "line 2, column rpm: 'fast' is not a number"),
        ("timestamp,rpm\n2026-01-01,1_000\n", "line 2, column rpm: '1_000' is not a number"),
        ("timestamp,rpm\n2026-01-01,inf\n", "line 2, column rpm: 'inf' is not a finite"),
        ("timestamp,rpm\n2026-01-01,1e39\n", "line 2, column rpm: '1e39' is not a finite"),
        ("timestamp,rpm\n2026-01-01\n", "line 2: 1 cells, but the header has 2"),
        ("timestamp,rpm\n2026-01-01,1,2\n", "line 2: 3 cells"),
        ("timestamp,rpm\n\n\n2026-01-01,x\n", "line 4, column rpm"),
        ("timestamp,rpm,quality\n2026-01-01,1,-1\n", "line 2, column quality: '-1'"),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column(write: Write, text: str, message: str) -> None:
    with pytest.raises(BadCell, match=message):
        readings(CsvFile(write(text), CsvOptions(device="W")))


def test_a_row_without_a_device_is_bad(write: Write) -> None:
    path = write("device_id,timestamp,rpm\nW,2026-01-01,1\n,2026-01-01,1\n")
    with pytest.raises(BadCell, match="line 3, column device_id: no device"):
        readings(CsvFile(path, CsvOptions()))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", CsvOptions(), "no header"),
        ("timestamp,rpm\n", CsvOptions(), "--device-column"),
        ("device_id,rpm\n", CsvOptions(), "--time-column"),
        ("timestamp,x\n", CsvOptions(device="W"), "no column is a signal"),
        ("timestamp,rpm,rpm\n", CsvOptions(device="W"), "column twice: rpm"),
        ("timestamp,rpm\n", CsvOptions(device="W", columns={"y": "rpm"}), "no column 'y'"),
        ("timestamp,x\n", CsvOptions(device="W", columns={"x": "speed"}), "unknown field 'speed'"),
        (
            "timestamp,rpm\n",
            CsvOptions(device="W", units={"pressure": "Pa"}),
            "no column is mapped",
        ),
        ("timestamp,rpm\n", CsvOptions(device="W", units={"rpm": "mph"}), "known are: rpm"),
        (
            "timestamp,vibration\n",
            CsvOptions(device="W", units={"vibration": "mm/s RMS"}),
            "--velocity-at-running-speed",
        ),
        (
            "timestamp,vibration\n",
            CsvOptions(device="W", units={"vibration": "g peak"}),
            "--assume-sinusoid",
        ),
        ("timestamp,rpm,quality\n", CsvOptions(device="W", blocks=True), "no quality"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_before_anything_is_sent(
    write: Write, text: str, options: CsvOptions, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        CsvFile(write(text), options)


def test_text_that_is_not_utf_8_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "latin1.csv"
    path.write_bytes(b"timestamp,rpm\n2026-01-01,1\n" + b"\xe9\n" * 10_000)
    with pytest.raises(BadInput, match="not UTF-8"):
        readings(CsvFile(path, CsvOptions(device="W")))


def test_vibration_velocity_uses_the_running_speed_of_its_row(write: Write) -> None:
    path = write(
        "timestamp,vibration,rpm,frequency\n"
        "2026-01-01,26.013,3600,50\n2026-01-01,31.216,,50\n2026-01-01,,,\n"
    )
    options = CsvOptions(
        device="W", units={"vibration": "mm/s RMS"}, velocity_at_running_speed=True
    )
    rows = [unpack(row[2]) for row in readings(CsvFile(path, options))]
    assert rows[0]["vibration"] == pytest.approx(1.0, rel=2e-5)
    assert rows[1]["vibration"] == pytest.approx(1.0, rel=2e-5)
    assert "vibration" not in rows[2]
    path.write_text("timestamp,vibration,rpm\n2026-01-01,26,\n")
    with pytest.raises(BadCell, match="line 2, column vibration: a velocity needs rpm"):
        readings(CsvFile(path, options))


def random_file(source: random.Random, rows: int) -> str:
    """Rows of some devices with gaps, steps back in time, missing and NaN cells, blank lines."""
    lines = ["device_id,timestamp,source_system,temperature,pressure,flow_rate"]
    time = 0.0
    for _ in range(rows):
        time += source.choice([1, 60, 60, 60, 5000, -30])
        cells = [f"W-{source.choice('AAAB')}", f"{time:g}", source.choice(["", "", "plc"])]
        cells += [source.choice(["", "NaN", f"{source.uniform(-9, 9)}"]) for _ in range(3)]
        lines.append(",".join(cells) + source.choice(["", "", "\n"]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(10))
def test_batches_are_the_same_each_time_and_blocks_hold_the_same_readings(
    write: Write, seed: int
) -> None:
    source = random.Random(seed)
    path = write(random_file(source, 500))
    options = {
        "batch_readings": source.randint(1, 200),
        "start_us": START,
        "units": {"pressure": "bar", "temperature": "degF"},
        "source_system": "test",
    }
    as_rows = CsvFile(path, CsvOptions(**options))
    as_blocks = CsvFile(path, CsvOptions(**options, blocks=True))
    once = [batch.message().SerializeToString() for batch in as_rows.batches(fail)]
    assert once == [batch.message().SerializeToString() for batch in as_rows.batches(fail)]
    assert len(readings(as_rows)) == 500
    assert readings(as_rows) == readings(as_blocks)


def test_a_long_step_or_a_step_back_begins_a_new_block(write: Write) -> None:
    path = write("timestamp,rpm\n0,1\n4294.967295,2\n8589.934591,3\n8589.9,4\n")
    file = CsvFile(path, CsvOptions(device="W", start_us=0, blocks=True))
    [batch] = file.batches(fail)
    lengths = [list(block.time_delta_us) for block in batch.message().blocks]
    assert lengths == [[0, 4_294_967_295], [0], [0]]


def test_leaving_out_a_bad_row_moves_no_other_row_to_another_batch(write: Write) -> None:
    good = "timestamp,rpm\n" + "".join(f"{i},{i}\n" for i in range(10))
    options = CsvOptions(device="W", start_us=0, batch_readings=3, skip_bad=True)
    path = write(good.replace("4,4\n", "4,four\n"))
    bad: list[int] = []
    batches = list(CsvFile(path, options).batches(lambda cell: bad.append(cell.line)))
    assert bad == [6]
    assert [batch.columns.lines for batch in batches] == [[2, 3, 4], [5, 7], [8, 9, 10], [11]]
    assert [batch.number for batch in batches] == [1, 2, 3, 4]


def test_a_batch_without_a_good_row_takes_no_number(write: Write) -> None:
    path = write("timestamp,rpm\n1,1\n2,x\n3,x\n4,4\n")
    options = CsvOptions(device="W", start_us=0, batch_readings=1, skip_bad=True)
    batches = list(CsvFile(path, options).batches(lambda cell: None))
    assert [(batch.number, batch.columns.lines) for batch in batches] == [(1, [2]), (2, [5])]


def test_a_limit_counts_rows_of_the_file(write: Write) -> None:
    path = write("timestamp,rpm\n" + "1,1\n" * 10)
    options = CsvOptions(device="W", start_us=0, batch_readings=3, limit=7)
    assert [len(batch.columns) for batch in CsvFile(path, options).batches(fail)] == [3, 3, 1]


def test_the_producer_made_of_the_file_changes_with_content_and_options(write: Write) -> None:
    path = write("timestamp,rpm\n1,1\n")
    ids = {
        CsvFile(path, CsvOptions(device="W", start_us=0)).fingerprint(),
        CsvFile(path, CsvOptions(device="W", start_us=0, batch_readings=2)).fingerprint(),
        CsvFile(path, CsvOptions(device="V", start_us=0)).fingerprint(),
        CsvFile(write("timestamp,rpm\n1,2\n"), CsvOptions(device="W", start_us=0)).fingerprint(),
    }
    assert len(ids) == 4
    assert all(len(name) <= 128 for name in ids)
    defaults = CsvOptions(device="W", start_us=0, batch_readings=1000)
    assert CsvFile(path, defaults).fingerprint() in ids


def test_values_are_the_float32_of_the_converted_double(write: Write) -> None:
    path = write("timestamp,pressure\n" + "".join(f"1,{12767730.0 + i}\n" for i in range(100)))
    options = CsvOptions(device="W", start_us=0, units={"pressure": "Pa"})
    stored = [unpack(row[2])["pressure"] for row in readings(CsvFile(path, options))]
    assert stored == [float32((12767730.0 + i) / 6894.757293168361) for i in range(100)]
