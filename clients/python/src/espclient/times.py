"""Times as whole microseconds since 1970-01-01T00:00:00Z, to and from ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z, the earliest that `google.protobuf.Timestamp` takes."""
LATEST_US = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z, the latest."""


def parse_iso(text: str) -> int:
    """Microseconds of an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    step = moment - EPOCH
    return (step.days * 86_400 + step.seconds) * 1_000_000 + step.microseconds


def parse_seconds(text: str, start_us: int) -> int:
    """Microseconds of a number of seconds after `start_us`, to the nearest. Raises ValueError,
    OverflowError.
    """
    if "_" in text:
        raise ValueError("not a number")
    time_us = start_us + round(float(text) * 1_000_000)
    if not EARLIEST_US <= time_us <= LATEST_US:
        raise OverflowError("outside the years 1 to 9999")
    return time_us


def format_iso(time_us: int) -> str:
    """ISO 8601 in UTC with as many decimals as needed: 0, 3 or 6."""
    moment = EPOCH + timedelta(microseconds=time_us)
    fraction = time_us % 1_000_000
    spec = (
        "seconds" if fraction == 0 else "milliseconds" if fraction % 1000 == 0 else "microseconds"
    )
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"
