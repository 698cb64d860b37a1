"""Readings made from a seed, and a checksum over all their columns that both sides compute for themselves."""

from __future__ import annotations

import hashlib
import random
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from espclient.protocol import telemetry_pb2 as pb

from database import Database

SIGNALS = ("temperature", "vibration", "pressure", "flow_rate", "motor_current", "rpm", "intake_pressure",
           "discharge_pressure", "frequency", "motor_voltage", "intake_temperature", "current_unbalance",
           "leakage_current")

START_US = (int(time.time()) - 2 * 86_400) * 1_000_000
"""Time of the first reading: within what the server takes by default."""


@dataclass(frozen=True, slots=True)
class Row:
    """One reading as it must lie in the table."""

    device: str
    time_us: int
    values: tuple[float | None, ...]
    """By SIGNALS; each is exactly a float32."""
    source: str = ""
    quality: int | None = None

    def canonical(self) -> str:
        """All columns as text; a value by its bits, so that nothing is rounded on either side."""
        bits = "|".join("-" if value is None else struct.pack(">f", value).hex() for value in self.values)
        quality = "-" if self.quality is None else str(self.quality)
        return f"{self.device}|{self.time_us}|{bits}|{self.source or 'scada'}|{quality}|3f800000|false"

    def message(self) -> pb.Reading:
        reading = pb.Reading(device_id=self.device, source_system=self.source, quality=self.quality)
        reading.timestamp.FromMicroseconds(self.time_us)
        for name, value in zip(SIGNALS, self.values, strict=True):
            if value is not None:
                setattr(reading, name, value)
        return reading


CANONICAL_SQL = "concat_ws('|', device_id, (extract(epoch FROM timestamp) * 1000000)::bigint, {}, {})".format(
    ", ".join(f"coalesce(encode(float4send({name}), 'hex'), '-')" for name in SIGNALS),
    "source_system, coalesce(quality::text, '-'), encode(float4send(data_quality_score), 'hex'), is_anomaly::text",
)


@dataclass(slots=True)
class Checksum:
    """Count, number and sum of the bits of each column, and the sum of a hash of each row. Order does not matter;
    each row counts, also one that is there twice.
    """

    count: int = 0
    hashes: int = 0
    present: list[int] = field(default_factory=lambda: [0] * len(SIGNALS))
    bits: list[int] = field(default_factory=lambda: [0] * len(SIGNALS))

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.count += 1
            self.hashes += int(hashlib.md5(row.canonical().encode()).hexdigest()[:15], 16)
            for index, value in enumerate(row.values):
                if value is not None:
                    self.present[index] += 1
                    self.bits[index] += struct.unpack(">I", struct.pack(">f", value))[0]

    @classmethod
    def stored(cls, database: Database, where: str = "TRUE") -> Checksum:
        """The same, computed by PostgreSQL over the table."""
        columns = ", ".join(
            f"count({name}), coalesce(sum(('x' || encode(float4send({name}), 'hex'))::bit(32)::bigint), 0)"
            for name in SIGNALS)
        line = database.run(
            f"SELECT count(*), coalesce(sum(('x' || substr(md5({CANONICAL_SQL}), 1, 15))::bit(60)::bigint), 0), "
            f"{columns} FROM telemetry WHERE {where}", timeout=300)
        count, hashes, *rest = (int(cell) for cell in line.split("|"))
        return cls(count, hashes, rest[::2], rest[1::2])


class Feed:
    """An endless series of batches by number: the same number always gives the same readings."""

    def __init__(self, name: str, *, readings: int = 1000, devices: int = 8, start_us: int = START_US) -> None:
        self.name = name
        self.readings = readings
        self.devices = [f"{name}-{number}" for number in range(devices)]
        self.start_us = start_us

    def rows(self, number: int) -> list[Row]:
        """The readings of batch 1, 2, 3 ..., in turn of the devices, 10 ms apart, of any signal, source, quality."""
        rng = random.Random(f"{self.name}/{number}")
        first = (number - 1) * self.readings
        values = struct.unpack(f"<{self.readings * 13}f", struct.pack(
            f"<{self.readings * 13}f", *(rng.random() * 150 for _ in range(self.readings * 13))))
        rows = []
        for index in range(self.readings):
            mask = rng.getrandbits(13) | 1 << index % 13
            signals = tuple(values[13 * index + bit] if mask >> bit & 1 else None for bit in range(13))
            rows.append(Row(
                self.devices[(first + index) % len(self.devices)], self.start_us + (first + index) * 10_000, signals,
                source=("", "scada", "historian")[index % 3], quality=(None, 0, 0x80000000)[index // 3 % 3]))
        return rows

    def batch(self, number: int) -> pb.Batch:
        return pb.Batch(readings=[row.message() for row in self.rows(number)])

    def block_rows(self, number: int) -> list[Row]:
        """The same times and values as blocks can carry them: by device, one source for each block, no quality."""
        rows = [Row(row.device, row.time_us, row.values, "blocks") for row in self.rows(number)]
        return sorted(rows, key=lambda row: row.device)

    def block_batch(self, number: int) -> pb.Batch:
        """A block for each device; NaN is a missing value."""
        batch = pb.Batch()
        rows = self.block_rows(number)
        for device in self.devices:
            own = [row for row in rows if row.device == device]
            block = batch.blocks.add(device_id=device, source_system="blocks", start_time_unix_us=own[0].time_us)
            block.time_delta_us.extend([0] + [b.time_us - a.time_us for a, b in zip(own, own[1:])])
            for index, name in enumerate(SIGNALS):
                getattr(block, name).extend(
                    float("nan") if row.values[index] is None else row.values[index] for row in own)
        return batch

    def checksum(self, batches: int, *, blocks: bool = False) -> Checksum:
        """Of batches 1 to `batches`."""
        total = Checksum()
        for number in range(1, batches + 1):
            total.add(self.block_rows(number) if blocks else self.rows(number))
        return total
