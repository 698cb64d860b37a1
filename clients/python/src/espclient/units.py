"""Units that a column may come in, and the exact rules to the canonical units (ESP_DOMAIN 1.2).

All arithmetic is in double precision; the value becomes a float32 only when the message is built.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from espclient.errors import BadInput
from espclient.signals import SIGNALS

STANDARD_ATMOSPHERE_PSI = 14.695948775513450
"""Taken off an absolute pressure to get the gauge pressure, unless the site says otherwise."""

Convert = Callable[[float], float]

UNITS: dict[str, dict[str, Convert | None]] = {
    "pressure": {
        "psi": None,
        "psig": None,
        "psia": lambda x: x - STANDARD_ATMOSPHERE_PSI,
        "Pa": lambda x: x / 6894.757293168361,
        "kPa": lambda x: x * 0.14503773773020923,
        "bar": lambda x: x * 14.503773773020923,
        "MPa": lambda x: x * 145.03773773020922,
        "kgf/cm2": lambda x: x * 14.223343307119563,
        "atm": lambda x: x * 14.695948775513450,
    },
    "temperature": {
        "degC": None,
        "degF": lambda x: (x - 32.0) * 5.0 / 9.0,
        "K": lambda x: x - 273.15,
    },
    "flow": {
        "bbl/d": None,
        "m3/d": lambda x: x * 6.289810770432105,
        "m3/h": lambda x: x * 150.95545849037052,
        "l/s": lambda x: x * 543.4396505653339,
        "l/min": lambda x: x * 9.057327509422232,
        "US gal/min": lambda x: x * 34.285714285714285,
    },
    "vibration": {
        "g": None,
        "m/s2": lambda x: x / 9.80665,
        "g peak": lambda x: x / math.sqrt(2.0),
    },
    "current": {"A": None, "mA": lambda x: x * 0.001, "kA": lambda x: x * 1000.0},
    "speed": {
        "rpm": None,
        "1/min": None,
        "Hz": lambda x: x * 60.0,
        "rad/s": lambda x: x * (30.0 / math.pi),
    },
    "frequency": {"Hz": None},
    "voltage": {"V": None, "kV": lambda x: x * 1000.0},
    "percentage": {"%": None},
    "leakage": {"mA": None, "uA": lambda x: x * 0.001, "A": lambda x: x * 1000.0},
}
"""Quantity -> unit -> rule to the canonical unit; None = it is the canonical one."""

VELOCITY_UNITS: dict[str, float] = {"mm/s RMS": 1.0, "in/s RMS": 25.4}
"""Vibration velocities and their size in mm/s. Acceleration needs a frequency: `velocity_to_g`."""


def velocity_to_g(value: float, millimetres: float, running_hz: float) -> float:
    """RMS acceleration in g of a sinusoidal RMS velocity, `value` in units of `millimetres` mm/s,
    at `running_hz`.
    """
    return value * millimetres * 2.0 * math.pi * running_hz / 9806.65


def known_units(signal: str) -> list[str]:
    """Every unit that `signal` may come in."""
    velocities = list(VELOCITY_UNITS) if signal == "vibration" else []
    return list(UNITS[SIGNALS[signal]]) + velocities


def conversion(
    signal: str, unit: str, *, site_atmosphere_psi: float = STANDARD_ATMOSPHERE_PSI
) -> Convert | None:
    """The rule that brings `signal` from `unit` to its canonical unit, None when there is nothing
    to do.

    Raises `BadInput` naming the known units. The velocities are not here: they need more than the
    value.
    """
    rules = UNITS[SIGNALS[signal]]
    if unit not in rules:
        known = ", ".join(known_units(signal))
        raise BadInput(f"unknown unit {unit!r} of {signal}; known are: {known}")
    if unit == "psia" and site_atmosphere_psi != STANDARD_ATMOSPHERE_PSI:
        return lambda x: x - site_atmosphere_psi
    return rules[unit]
