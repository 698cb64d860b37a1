"""Where the test server keeps its readings: SQLite, rows and cursors in one transaction."""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from espclient.protocol import telemetry_pb2 as pb
from espclient.signals import SIGNALS

Stored = tuple[str, int, bytes, str]
"""Device, microseconds, the signals as float32 (NaN = missing), source system."""


class Store:
    """Rows and cursors, changed in one transaction. What is only accepted is lost by `crash`."""

    def __init__(self, path: str | Path = ":memory:") -> None:
        self.lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._run("create table if not exists cursor (producer primary key, last_sequence)")
        self._run("create table if not exists row (device, time_us, signals, source)")
        self._accepted: list[tuple[str, int, list[Stored]]] = []

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._database.execute(statement, values)

    def last_sequence(self, producer: str) -> int:
        with self.lock:
            accepted = [s for name, s, _ in self._accepted if name == producer]
            row = self._run(
                "select last_sequence from cursor where producer = ?", producer
            ).fetchone()
            return max([row[0] if row else 0, *accepted])

    def set_cursor(self, producer: str, last_sequence: int) -> None:
        with self.lock:
            self._run("insert or replace into cursor values (?, ?)", producer, last_sequence)

    def store(self, producer: str, sequence: int, rows: list[Stored], *, durable: bool) -> None:
        with self.lock:
            self._accepted.append((producer, sequence, rows))
            if durable:
                self.commit()

    def commit(self) -> None:
        with self.lock:
            self._run("begin immediate")
            for producer, sequence, rows in self._accepted:
                self._run("insert or replace into cursor values (?, ?)", producer, sequence)
                self._database.executemany("insert into row values (?, ?, ?, ?)", rows)
            self._run("commit")
            self._accepted.clear()

    def crash(self) -> None:
        with self.lock:
            self._accepted.clear()

    def double(self, device: str) -> None:
        """Adds a copy of every row under another device."""
        with self.lock:
            self._run("insert into row select ?, time_us, signals, source from row", device)

    def rows(self) -> list[Stored]:
        with self.lock:
            return self._run(
                "select device, time_us, signals, source from row order by time_us, device"
            ).fetchall()


def unpack_batch(batch: pb.Batch) -> Iterator[Stored]:
    """The readings of a batch in order: rows, then the samples of the blocks."""
    for reading in batch.readings:
        values = [getattr(reading, s) if reading.HasField(s) else float("nan") for s in SIGNALS]
        yield (
            reading.device_id,
            reading.timestamp.ToMicroseconds(),
            struct.pack("<13f", *values),
            reading.source_system,
        )
    for block in batch.blocks:
        times = accumulate(block.time_delta_us, initial=block.start_time_unix_us)
        next(times)
        columns = [
            list(getattr(block, s)) or [float("nan")] * len(block.time_delta_us) for s in SIGNALS
        ]
        for time_us, *values in zip(times, *columns, strict=True):
            yield block.device_id, time_us, struct.pack("<13f", *values), block.source_system


def unpack(signals: bytes) -> dict[str, float]:
    """The present signals of a stored row."""
    values = struct.unpack("<13f", signals)
    return {s: v for s, v in zip(SIGNALS, values, strict=True) if v == v}
