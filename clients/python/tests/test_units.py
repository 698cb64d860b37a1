"""Units: every factor against an exact fraction, and the worked examples of ESP_DOMAIN 1.2."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from espclient.errors import BadInput
from espclient.signals import SIGNALS
from espclient.units import UNITS, VELOCITY_UNITS, Convert, conversion, known_units, velocity_to_g

INCH = Fraction(254, 10_000)
PSI = Fraction("4.4482216152605") / (INCH * INCH)
BARREL = Fraction("0.158987294928")
GALLON = Fraction("0.003785411784")

EXACT: dict[tuple[str, str], Fraction] = {
    ("pressure", "Pa"): 1 / PSI,
    ("pressure", "kPa"): 1000 / PSI,
    ("pressure", "bar"): 100_000 / PSI,
    ("pressure", "MPa"): 1_000_000 / PSI,
    ("pressure", "kgf/cm2"): Fraction("98066.5") / PSI,
    ("pressure", "atm"): 101_325 / PSI,
    ("flow_rate", "m3/d"): 1 / BARREL,
    ("flow_rate", "m3/h"): 24 / BARREL,
    ("flow_rate", "l/s"): Fraction("86.4") / BARREL,
    ("flow_rate", "l/min"): Fraction("1.44") / BARREL,
    ("flow_rate", "US gal/min"): 1440 * GALLON / BARREL,
    ("vibration", "m/s2"): 1 / Fraction("9.80665"),
    ("motor_current", "mA"): Fraction(1, 1000),
    ("motor_current", "kA"): Fraction(1000),
    ("rpm", "Hz"): Fraction(60),
    ("motor_voltage", "kV"): Fraction(1000),
    ("leakage_current", "uA"): Fraction(1, 1000),
    ("leakage_current", "A"): Fraction(1000),
}


TABLE: dict[tuple[str, str], float] = {
    ("pressure", "kPa"): 0.14503773773020923,
    ("pressure", "bar"): 14.503773773020923,
    ("pressure", "MPa"): 145.03773773020922,
    ("pressure", "kgf/cm2"): 14.223343307119563,
    ("pressure", "atm"): 14.695948775513450,
    ("flow_rate", "m3/d"): 6.289810770432105,
    ("flow_rate", "m3/h"): 150.95545849037052,
    ("flow_rate", "l/s"): 543.4396505653339,
    ("flow_rate", "l/min"): 9.057327509422232,
    ("flow_rate", "US gal/min"): 34.285714285714285,
    ("motor_current", "mA"): 0.001,
    ("motor_current", "kA"): 1000.0,
    ("rpm", "Hz"): 60.0,
    ("rpm", "rad/s"): 30.0 / math.pi,
    ("motor_voltage", "kV"): 1000.0,
    ("leakage_current", "uA"): 0.001,
    ("leakage_current", "A"): 1000.0,
}


def rule(signal: str, unit: str, **options: float) -> Convert:
    """The conversion, which must be one."""
    convert = conversion(signal, unit, **options)
    assert convert is not None
    return convert


@pytest.mark.parametrize(("signal", "unit"), TABLE)
def test_a_factor_is_the_one_of_the_table(signal: str, unit: str) -> None:
    convert = rule(signal, unit)
    assert convert(1.0) == TABLE[signal, unit]
    assert convert(1234.5) == 1234.5 * TABLE[signal, unit]


@pytest.mark.parametrize(("signal", "unit"), EXACT)
def test_a_factor_is_within_a_unit_in_the_last_place_of_its_definition(
    signal: str, unit: str
) -> None:
    convert = rule(signal, unit)
    exact = float(EXACT[signal, unit])
    assert abs(convert(1.0) - exact) <= math.ulp(exact)


@pytest.mark.parametrize("value", [0.0, 1.0, 6894.757293168361, 12767730.0, 1680365.0, -5.5])
def test_pascals_are_divided_not_multiplied(value: float) -> None:
    convert = rule("intake_pressure", "Pa")
    assert convert(value) == value / 6894.757293168361


def test_units_with_an_offset_are_exact_at_their_fixed_points() -> None:
    fahrenheit = rule("temperature", "degF")
    kelvin = rule("intake_temperature", "K")
    absolute = rule("pressure", "psia")
    assert [fahrenheit(x) for x in (32.0, 212.0, -40.0, 185.0)] == [0.0, 100.0, -40.0, 85.0]
    assert kelvin(273.15) == 0.0
    assert absolute(14.69594877551345) == 0.0


def test_the_site_atmosphere_replaces_the_standard_one() -> None:
    convert = rule("pressure", "psia", site_atmosphere_psi=12.0)
    assert convert(112.0) == 100.0


def test_shaft_speed_and_peak_acceleration_use_irrational_factors_in_double_precision() -> None:
    speed, peak = rule("rpm", "rad/s"), rule("vibration", "g peak")
    assert speed(math.pi) == 30.0
    assert peak(math.sqrt(2.0)) == 1.0


def test_the_worked_examples_come_out() -> None:
    assert velocity_to_g(26.013, VELOCITY_UNITS["mm/s RMS"], 60.0) == pytest.approx(1.0, rel=2e-5)
    assert velocity_to_g(1.0241, VELOCITY_UNITS["in/s RMS"], 60.0) == pytest.approx(1.0, rel=5e-5)
    assert velocity_to_g(31.216, VELOCITY_UNITS["mm/s RMS"], 50.0) == pytest.approx(1.0, rel=2e-5)
    cubic, mega = rule("flow_rate", "m3/d"), rule("pressure", "MPa")
    assert cubic(100.0) == pytest.approx(628.98, abs=0.005)
    assert mega(25.0) == pytest.approx(3625.94, abs=0.005)


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_signal_has_one_canonical_unit_or_two_names_of_it(signal: str) -> None:
    names = [unit for unit, rule in UNITS[SIGNALS[signal]].items() if rule is None]
    assert names in (["psi", "psig"], ["rpm", "1/min"]) or len(names) == 1


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_unknown_unit_is_an_error_that_names_the_known_ones(signal: str) -> None:
    with pytest.raises(BadInput, match="unknown unit 'furlong'") as error:
        conversion(signal, "furlong")
    assert all(unit in str(error.value) for unit in known_units(signal))
