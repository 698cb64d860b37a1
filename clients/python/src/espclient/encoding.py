"""Typed columns to the message of a batch, as rows or as blocks, in the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from espclient.columns import Columns
from espclient.protocol import telemetry_pb2

MAX_STEP_US = (1 << 32) - 1
"""Longest time from one sample of a block to the next: `time_delta_us` has 32 bits."""


def encode_rows(columns: Columns, source_system: str = "") -> telemetry_pb2.Batch:
    """One `Reading` a row. A column of source systems goes before `source_system`."""
    batch = telemetry_pb2.Batch()
    add = batch.readings.add
    fields: dict[str, Sequence[Any]] = dict(columns.signals)
    if columns.source_systems is not None:
        fields["source_system"] = [text or source_system for text in columns.source_systems]
    elif source_system:
        fields["source_system"] = [source_system] * len(columns)
    if columns.qualities is not None:
        fields["quality"] = columns.qualities
    names = ("device_id", *fields)
    cells = zip(columns.devices, *fields.values(), strict=True)
    for time_us, row in zip(columns.times_us, cells, strict=True):
        # A field given as None stays absent.
        timestamp = add(**dict(zip(names, row, strict=True))).timestamp
        timestamp.seconds, micros = divmod(time_us, 1_000_000)
        timestamp.nanos = micros * 1000
    return batch


def encode_blocks(columns: Columns, source_system: str = "") -> telemetry_pb2.Batch:
    """One `ReadingBlock` for each run of rows of one device and source in which time moves on."""
    batch = telemetry_pb2.Batch()
    sources = columns.source_systems
    for first, end in _runs(columns):
        block = batch.blocks.add(
            device_id=columns.devices[first],
            start_time_unix_us=columns.times_us[first],
            source_system=(sources[first] if sources else "") or source_system,
        )
        times = columns.times_us[first:end]
        block.time_delta_us.extend([0, *(after - before for before, after in pairwise(times))])
        for signal, values in columns.signals.items():
            run = values[first:end]
            missing = run.count(None)
            if missing < len(run):
                if missing:
                    run = [math.nan if value is None else value for value in run]
                getattr(block, signal).extend(run)
    return batch


def _runs(columns: Columns) -> Iterator[tuple[int, int]]:
    """The half-open ranges of rows that fit into one block each."""
    devices, times, sources = columns.devices, columns.times_us, columns.source_systems
    first = 0
    for i in range(1, len(columns)):
        together = (
            devices[i] == devices[i - 1]
            and 0 <= times[i] - times[i - 1] <= MAX_STEP_US
            and (sources is None or sources[i] == sources[i - 1])
        )
        if not together:
            yield first, i
            first = i
    if len(columns):
        yield first, len(columns)


def count_readings(batch: telemetry_pb2.Batch) -> int:
    """Readings in a batch: its rows and the samples of its blocks."""
    return len(batch.readings) + sum(len(block.time_delta_us) for block in batch.blocks)


def encode_request(batch: telemetry_pb2.Batch, sequence: int) -> bytes:
    """The stream message that carries `batch` as number `sequence`."""
    batch.sequence = sequence
    return telemetry_pb2.IngestStreamRequest(batch=batch).SerializeToString()


def frame_batch(payload: bytes, sequence: int) -> bytes:
    """The same for a batch that is serialized already, without a sequence."""
    body = payload + b"\x08" + _varint(sequence)  # Field 1 of `Batch`.
    return b"\x12" + _varint(len(body)) + body  # Field 2 of `IngestStreamRequest`.


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
