"""Healthy pumps for demonstration: plausible values that follow from each other (ESP_DOMAIN 1.1,
2.2 to 2.7).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

MAGNETISING_SHARE = 0.36
"""Current of an induction motor without load, as a share of its rated current (ESP_DOMAIN 2.5)."""
SLIP = 0.0417
"""Of the motor: 3450 rpm at 60 Hz."""
HEAD_COEFFICIENTS = (1.28, -0.04, -0.24)
"""Head over head at best efficiency, as a polynomial in the operating point (ESP_DOMAIN 1.3)."""
POWER_COEFFICIENTS = (0.64, 0.46, -0.10)
"""The same of the power."""
THERMAL_SECONDS = 900.0
"""Time constant of the motor's temperature."""


class Walk:
    """A random walk that keeps returning to 0: `sigma` is its size, `seconds` its memory."""

    def __init__(self, source: random.Random, sigma: float, seconds: float) -> None:
        self._source = source
        self._sigma = sigma
        self._seconds = seconds
        self._value = source.gauss(0.0, sigma)

    def step(self, elapsed: float) -> float:
        """The value `elapsed` seconds later."""
        kept = math.exp(-elapsed / self._seconds)
        spread = self._sigma * math.sqrt(1.0 - kept * kept)
        self._value = kept * self._value + self._source.gauss(0.0, spread)
        return self._value


@dataclass(slots=True)
class Nameplate:
    """What tells one pump from another."""

    bep_rate: float
    """bbl/d at 60 Hz and best efficiency."""
    bep_pressure: float
    """Differential pressure there, psi."""
    rated_current: float
    """A."""
    intake: float
    """psi at that rate."""
    wellhead: float
    """psi at that rate."""
    ambient: float
    """Temperature of the fluid at the motor, degC."""
    vibration: float
    """g RMS when running smoothly."""


class SimulatedPump:
    """One pump in one well. Deterministic for a random source and a sequence of steps."""

    def __init__(self, device_id: str, source: random.Random) -> None:
        self.device_id = device_id
        self._source = source
        spread = source.uniform
        self._plate = Nameplate(
            bep_rate=1500 * spread(0.9, 1.1),
            bep_pressure=1900 * spread(0.95, 1.05),
            rated_current=40 * spread(0.95, 1.05),
            intake=900 * spread(0.9, 1.1),
            wellhead=250 * spread(0.9, 1.1),
            ambient=65 * spread(0.97, 1.03),
            vibration=spread(0.06, 0.18),
        )
        self._frequency = Walk(source, 0.15, 1800)
        self._operating_point = Walk(source, 0.03, 3600)
        self._reservoir = Walk(source, 12.0, 14_400)
        self._roughness = Walk(source, 0.15, 600)
        self._rise: float | None = None

    def step(self, elapsed: float) -> dict[str, float]:
        """The signals `elapsed` seconds after the last step, in canonical units."""
        plate, noise = self._plate, self._source.gauss
        frequency = 60.0 + self._frequency.step(elapsed)
        speed = frequency / 60.0
        point = 1.0 + self._operating_point.step(elapsed)
        flow = plate.bep_rate * point * speed
        lift = plate.bep_pressure * _share(HEAD_COEFFICIENTS, point) * speed**2
        # The well gives less pressure the more is taken from it: 0.4 psi per bbl/d.
        intake = plate.intake - 0.4 * (flow - plate.bep_rate) + self._reservoir.step(elapsed)
        torque = _share(POWER_COEFFICIENTS, point) * speed**2
        current = plate.rated_current * _current_share(torque)
        temperature = plate.ambient + self._temperature_rise(current, elapsed)
        vibration = plate.vibration * math.exp(self._roughness.step(elapsed)) * speed**2
        return {
            "temperature": temperature + noise(0, 0.05),
            "vibration": max(0.0, vibration * (1 + noise(0, 0.04))),
            "pressure": plate.wellhead * (0.5 + 0.5 * (flow / plate.bep_rate) ** 2) + noise(0, 0.6),
            "flow_rate": flow * (1 + noise(0, 0.004)),
            "motor_current": current * (1 + noise(0, 0.003)),
            "rpm": 60.0 * frequency * (1.0 - SLIP * torque) + noise(0, 0.5),
            "intake_pressure": intake + noise(0, 0.8),
            "discharge_pressure": intake + lift + noise(0, 1.5),
            "frequency": frequency,
        }

    def _temperature_rise(self, current: float, elapsed: float) -> float:
        """Kelvin above the fluid: 20 at rated current, with the motor's thermal lag."""
        final = 20.0 * (current / self._plate.rated_current) ** 2
        if self._rise is None:
            self._rise = final
        self._rise += (final - self._rise) * (1.0 - math.exp(-elapsed / THERMAL_SECONDS))
        return self._rise


def make_fleet(devices: int, seed: int | None) -> list[SimulatedPump]:
    """Pumps `ESP-001`, `ESP-002` ...; the same for the same seed, whatever the number of them."""
    own_seed = random.Random(seed).getrandbits(64)
    return [
        SimulatedPump(f"ESP-{number:03}", random.Random(f"{own_seed}/{number}"))
        for number in range(1, devices + 1)
    ]


def _share(coefficients: tuple[float, float, float], x: float) -> float:
    constant, linear, square = coefficients
    return constant + linear * x + square * x * x


def _current_share(torque: float) -> float:
    """Current over rated current for a torque over rated torque (ESP_DOMAIN 2.5)."""
    m2 = MAGNETISING_SHARE**2
    return math.sqrt(m2 + (1.0 - m2) * torque**2)
