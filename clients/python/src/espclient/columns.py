"""Text cells of some rows to typed columns: fast when all is well, cell by cell when not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from espclient.errors import BadCell
from espclient.plan import ColumnPlan, CsvOptions, SignalColumn
from espclient.times import parse_iso, parse_seconds
from espclient.units import velocity_to_g

FLOAT32_MAX = 3.4028234663852886e38
"""Largest finite float32, which is how a reading carries its values."""

Row = list[str]
Value = float | None


@dataclass(slots=True)
class Columns:
    """Some rows, by column, in canonical units. All columns are equally long."""

    lines: list[int] = field(default_factory=list)
    """Line of each row in the file, counted from 1."""
    times_us: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    signals: dict[str, list[Value]] = field(default_factory=dict)
    """Signal -> double values; None = missing."""
    source_systems: list[str] | None = None
    qualities: list[int | None] | None = None

    def __len__(self) -> int:
        return len(self.lines)


def parse_rows(
    lines: Sequence[int],
    rows: Sequence[Row],
    plan: ColumnPlan,
    options: CsvOptions,
    on_bad: Callable[[BadCell], None],
) -> Columns:
    """Parses rows. A bad one is handed to `on_bad`, which raises it or lets it be left out."""
    with suppress(ValueError, OverflowError):
        return _parse_fast(lines, rows, plan, options)
    rows = [_plain(row, plan) for row in rows]
    with suppress(ValueError, OverflowError):
        return _parse_fast(lines, rows, plan, options)
    good_lines: list[int] = []
    good_rows: list[Row] = []
    for line, row in zip(lines, rows, strict=True):
        try:
            _check_row(line, row, plan, options)
        except BadCell as bad:
            on_bad(bad)
        else:
            good_lines.append(line)
            good_rows.append(row)
    return _parse_fast(good_lines, good_rows, plan, options)


def _parse_fast(
    lines: Sequence[int], rows: Sequence[Row], plan: ColumnPlan, options: CsvOptions
) -> Columns:
    """Column by column; any doubt is a ValueError or OverflowError, explained by `_check_row`."""
    if not rows:
        return Columns(signals={column.signal: [] for column in plan.signals})
    cells = list(zip(*rows, strict=True))
    if len(cells) != len(plan.header):
        raise ValueError
    devices = _devices(cells, plan, options, len(rows))
    signals = {column.signal: _values(cells[column.index], column) for column in plan.signals}
    if plan.velocity is not None:
        _convert_velocity(signals, plan.velocity)
    return Columns(
        lines=list(lines),
        times_us=_times(cells[plan.time], options.start_us),
        devices=devices,
        signals=signals,
        source_systems=None if plan.source_system is None else list(cells[plan.source_system]),
        qualities=None if plan.quality is None else [_quality(c) for c in cells[plan.quality]],
    )


def _devices(
    cells: list[tuple[str, ...]], plan: ColumnPlan, options: CsvOptions, count: int
) -> list[str]:
    if options.device is not None or plan.device is None:
        return [options.device or ""] * count
    if "" in cells[plan.device]:
        raise ValueError
    return list(cells[plan.device])


def _times(cells: Sequence[str], start_us: int | None) -> list[int]:
    if start_us is None:
        return [parse_iso(cell) for cell in cells]
    return [parse_seconds(cell, start_us) for cell in cells]


def _values(cells: Sequence[str], column: SignalColumn) -> list[Value]:
    values: list[Value] = [float(cell) if cell else None for cell in cells]
    if "_" in "".join(cells):  # float() takes 1_000
        raise ValueError
    convert = column.convert
    if convert is not None:
        values = [None if value is None else convert(value) for value in values]
    _check_range(values)
    return values


def _check_range(values: list[Value]) -> None:
    """Refuses NaN, infinities and what a float32 cannot hold."""
    present = [value for value in values if value is not None]
    if not present:
        return
    # The sum finds a NaN, which min and max may pass over.
    if math.isnan(sum(present)) or max(present) > FLOAT32_MAX or min(present) < -FLOAT32_MAX:
        raise OverflowError


def _quality(cell: str) -> int | None:
    if not cell:
        return None
    quality = int(cell)
    if "_" in cell or not 0 <= quality < 1 << 32:
        raise ValueError
    return quality


def _convert_velocity(signals: dict[str, list[Value]], column: SignalColumn) -> None:
    """Vibration velocity to acceleration at each row's running speed: rpm/60, else the drive's
    frequency.
    """
    velocities = signals["vibration"]
    nothing: list[Value] = [None] * len(velocities)
    rpm = signals.get("rpm", nothing)
    frequency = signals.get("frequency", nothing)
    size = column.velocity_mm_s or 1.0
    for i, velocity in enumerate(velocities):
        if velocity is not None:
            hertz = rpm[i] / 60.0 if rpm[i] is not None else frequency[i]
            if hertz is None:
                raise ValueError
            velocities[i] = velocity_to_g(velocity, size, hertz)
    _check_range(velocities)


def _plain(row: Row, plan: ColumnPlan) -> Row:
    """A row as the fast parser takes it: numbers and times without spaces, a signal that says NaN
    empty.
    """
    if len(row) != len(plan.header):
        return row
    plain = list(row)
    plain[plan.time] = row[plan.time].strip()
    if plan.quality is not None:
        plain[plan.quality] = row[plan.quality].strip()
    for column in plan.signals:
        cell = row[column.index].strip()
        plain[column.index] = "" if cell.lower() == "nan" else cell
    return plain


def _check_row(line: int, row: Row, plan: ColumnPlan, options: CsvOptions) -> None:
    """Raises `BadCell` with the first thing that is wrong with a row."""
    if len(row) != len(plan.header):
        raise BadCell(line, "", f"{len(row)} cells, but the header has {len(plan.header)}")
    if plan.device is not None and not row[plan.device]:
        raise BadCell(line, plan.header[plan.device], "no device")
    _check_time(line, row[plan.time], plan.header[plan.time], options.start_us)
    for column in plan.signals:
        _check_value(line, row[column.index], column)
    if plan.quality is not None:
        try:
            _quality(row[plan.quality])
        except ValueError:
            problem = f"{row[plan.quality]!r} is not a status code, a number of 32 bits"
            raise BadCell(line, plan.header[plan.quality], problem) from None
    if plan.velocity is not None:
        try:
            _parse_fast([line], [row], plan, options)
        except ValueError:
            problem = "a velocity needs rpm or frequency in the same row"
            raise BadCell(line, plan.velocity.name, problem) from None
        except OverflowError:
            raise BadCell(line, plan.velocity.name, "too large for a float32") from None


def _check_time(line: int, cell: str, name: str, start_us: int | None) -> None:
    if not cell:
        raise BadCell(line, name, "no time")
    try:
        _times([cell], start_us)
    except OverflowError:
        raise BadCell(line, name, f"{cell!r} is outside the years 1 to 9999") from None
    except ValueError:
        wanted = "an ISO 8601 time" if start_us is None else "a number of seconds"
        hint = "; for seconds give --start" if start_us is None and _is_number(cell) else ""
        raise BadCell(line, name, f"{cell!r} is not {wanted}{hint}") from None


def _check_value(line: int, cell: str, column: SignalColumn) -> None:
    try:
        _values([cell], column)
    except OverflowError:
        problem = f"{cell!r} is not a finite number within the range of a float32"
        raise BadCell(line, column.name, problem) from None
    except ValueError:
        raise BadCell(line, column.name, f"{cell!r} is not a number") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
