"""The thirteen signals of a reading and the quantity that each one measures."""

from __future__ import annotations

SIGNALS: dict[str, str] = {
    "temperature": "temperature",
    "vibration": "vibration",
    "pressure": "pressure",
    "flow_rate": "flow",
    "motor_current": "current",
    "rpm": "speed",
    "intake_pressure": "pressure",
    "discharge_pressure": "pressure",
    "frequency": "frequency",
    "motor_voltage": "voltage",
    "intake_temperature": "temperature",
    "current_unbalance": "percentage",
    "leakage_current": "leakage",
}
"""Field name in `esp.v1.Reading` -> quantity, a key of `espclient.units.UNITS`; in the proto's
order.
"""
