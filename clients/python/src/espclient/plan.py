"""How the columns of a CSV file become fields of a reading: decided once, from the header and the
options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from espclient.errors import BadInput
from espclient.signals import SIGNALS
from espclient.units import (
    STANDARD_ATMOSPHERE_PSI,
    VELOCITY_UNITS,
    Convert,
    conversion,
    known_units,
)

FIELDS = ("device_id", "timestamp", *SIGNALS, "source_system", "quality")
"""Fields of a reading that a column can fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """All that decides, beside the file, what is in which batch."""

    batch_readings: int = 1000
    blocks: bool = False
    device: str | None = None
    """Device of every row; None = there is a device column."""
    start_us: int | None = None
    """The time column counts seconds from here; None = it holds ISO 8601 times."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """CSV column -> field."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Signal -> unit of its column."""
    source_system: str = ""
    skip_bad: bool = False
    limit: int | None = None
    """Data rows to read at most."""
    site_atmosphere_psi: float = STANDARD_ATMOSPHERE_PSI
    assume_sinusoid: bool = False
    """Allows unit `g peak`."""
    velocity_at_running_speed: bool = False
    """Allows units `mm/s RMS` and `in/s RMS`."""


@dataclass(frozen=True, slots=True)
class SignalColumn:
    """One signal: where it stands and how it is converted."""

    signal: str
    name: str
    """The column's name, for messages."""
    index: int
    convert: Convert | None
    velocity_mm_s: float | None = None
    """Size of the unit when this is a vibration velocity."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The place of everything in a row of the file."""

    header: tuple[str, ...]
    device: int | None
    time: int
    signals: tuple[SignalColumn, ...]
    source_system: int | None
    quality: int | None
    ignored: tuple[str, ...]
    """Columns that no field takes."""

    @property
    def velocity(self) -> SignalColumn | None:
        """The vibration column when it holds a velocity."""
        return next((c for c in self.signals if c.velocity_mm_s is not None), None)


def make_plan(header: Sequence[str], options: CsvOptions) -> ColumnPlan:
    """Maps the header's columns; raises `BadInput` when that is not possible without guessing."""
    places = _places(header, options.columns)
    if options.device is not None:
        places.pop("device_id", None)
    elif "device_id" not in places:
        raise _missing("device", "--device or --device-column", header)
    if "timestamp" not in places:
        raise _missing("time", "--time-column", header)
    if options.blocks and "quality" in places:
        raise BadInput("blocks carry no quality: use --form rows, or map that column away")
    signals = tuple(_signal_column(s, places[s], header, options) for s in SIGNALS if s in places)
    if not signals:
        raise BadInput(f"no column is a signal; use --map COLUMN=FIELD. Columns: {_list(header)}")
    for signal in options.units:
        if signal not in places:
            raise BadInput(f"--unit {signal}=...: no column is mapped to {signal}")
    used = set(places.values())
    return ColumnPlan(
        header=tuple(header),
        device=places.get("device_id"),
        time=places["timestamp"],
        signals=signals,
        source_system=places.get("source_system"),
        quality=places.get("quality"),
        ignored=tuple(name for i, name in enumerate(header) if i not in used),
    )


def _places(header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Field -> index of its column. What the caller mapped goes before a column of the field's own
    name.
    """
    if len(set(header)) != len(header):
        twice = sorted({name for name in header if list(header).count(name) > 1})
        raise BadInput(f"the header names a column twice: {_list(twice)}")
    places: dict[str, int] = {}
    for name, target in columns.items():
        if target not in FIELDS:
            raise BadInput(f"unknown field {target!r}; fields are: {_list(FIELDS)}")
        if name not in header:
            raise BadInput(f"the file has no column {name!r}; its columns are: {_list(header)}")
        if target in places:
            raise BadInput(f"two columns are mapped to {target}")
        places[target] = header.index(name)
    for index, name in enumerate(header):
        if name in FIELDS and name not in columns:
            places.setdefault(name, index)
    return places


def _signal_column(
    signal: str, index: int, header: Sequence[str], options: CsvOptions
) -> SignalColumn:
    unit = options.units.get(signal)
    convert, velocity = None, None
    if signal == "vibration" and unit in VELOCITY_UNITS:
        if not options.velocity_at_running_speed:
            raise BadInput(f"unit {unit!r} needs --velocity-at-running-speed: see --help")
        velocity = VELOCITY_UNITS[unit]
    elif unit == "g peak" and signal == "vibration" and not options.assume_sinusoid:
        raise BadInput(
            "unit 'g peak' needs --assume-sinusoid: the factor holds for a sinusoid only"
        )
    elif unit is not None:
        convert = conversion(signal, unit, site_atmosphere_psi=options.site_atmosphere_psi)
    return SignalColumn(signal, header[index], index, convert, velocity)


def check_units(units: Mapping[str, str]) -> None:
    """Raises `BadInput` for a signal or a unit that does not exist."""
    for signal, unit in units.items():
        if signal not in SIGNALS:
            raise BadInput(f"unknown signal {signal!r}; signals are: {_list(SIGNALS)}")
        if unit not in known_units(signal):
            conversion(signal, unit)


def _missing(what: str, option: str, header: Sequence[str]) -> BadInput:
    return BadInput(f"which column is the {what}? Give {option}. Columns: {_list(header)}")


def _list(names: Sequence[str] | Mapping[str, str]) -> str:
    return ", ".join(names)
