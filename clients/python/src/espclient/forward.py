"""Store and forward: `send` puts a batch on this disk, a thread takes it to the server when it can.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from espclient.connection import POLL, ConnectionLoop, OnResult
from espclient.encoding import count_readings
from espclient.errors import BadInput, BatchTooLarge, EspError, SpoolFailed, SpoolFull
from espclient.protocol import ACK_LEVELS, telemetry_pb2
from espclient.spool import DEFAULT_MAX_BYTES, Spool
from espclient.spoolwindow import OnRange, SpoolWindow
from espclient.stream import FRAME_BYTES
from espclient.totals import Totals

ASSUMED_LIMITS = telemetry_pb2.StreamOpened(max_batch_readings=100_000, max_message_bytes=4 << 20)
"""What servers take by default; held to until one has said what it takes."""
MAX_PRODUCER_BYTES = 128
"""Of a producer id (the contract)."""


class StoreAndForward:
    """Sends batches of one producer in order, through a spool. Any thread may call its methods.

    Once `send` has returned the batch is stored exactly once in the end, whatever dies: this
    process, the network, the server, its database. A server that is away is no error.
    """

    def __init__(
        self,
        target: str,
        producer_id: str,
        folder: str | Path,
        *,
        ack: str = "durable",
        historical: bool = False,
        window: int = 64,
        max_bytes: int = DEFAULT_MAX_BYTES,
        when_full: Literal["block", "raise"] = "block",
        sync_interval: float = 0.0,
        on_result: OnResult | None = None,
        on_event: Callable[[str], None] | None = None,
        on_lost: OnRange | None = None,
    ) -> None:
        """Opens the spool in `folder` and begins to send what is in it.

        `ack`: the level at which a batch leaves the spool. `window`: batches under way at most.
        `max_bytes`: of the spool; beyond, `send` blocks or raises `SpoolFull`. `sync_interval`: 0
        means that a batch is on the disk before `send` returns; n that it is within n seconds, and
        before it goes out. `on_result(result, None)` is called for each answer and
        `on_event(text)` for each break, on a thread of the sender: they must be quick.
        `on_lost(first, last)`: batches that the server lacks and the spool has no longer.
        """
        if not 1 <= len(producer_id.encode()) <= MAX_PRODUCER_BYTES:
            raise BadInput(f"a producer id has 1 to {MAX_PRODUCER_BYTES} bytes")
        if when_full not in ("block", "raise"):
            raise BadInput(f"when_full is 'block' or 'raise', not {when_full!r}")
        if ack not in ACK_LEVELS:
            raise BadInput(f"ack is one of {', '.join(ACK_LEVELS)}, not {ack!r}")
        if window < 1 or sync_interval < 0:
            raise BadInput("window must be at least 1, and sync_interval not below 0")
        self.totals = Totals()
        """Of what this process has sent."""
        self.lost_batches = 0
        """That the server lacks and the spool has no longer; empty ones took their place."""
        self.forgotten_batches = 0
        """That the server had acknowledged and then lacked: at ACCEPTED a crash of the server can
        do this, else only a restored backup. Sent again, unless they count as lost too.
        """
        self._when_full = when_full
        self._on_event = on_event
        self._lost = on_lost
        self._spool = Spool(
            folder, producer_id, max_bytes=max_bytes, sync_each=sync_interval == 0
        )
        if self._spool.cut_bytes:
            self._tell(f"a torn record of {self._spool.cut_bytes} bytes was cut off the spool")
        self._loop = ConnectionLoop(
            target,
            telemetry_pb2.OpenStream(
                producer_id=producer_id, ack_level=ACK_LEVELS[ack], historical=historical
            ),
            SpoolWindow(
                self._spool,
                window,
                ACK_LEVELS[ack],
                self.totals,
                on_lost=self._on_lost,
                on_forgotten=self._on_forgotten,
            ),
            retry_for=None,
            on_result=on_result,
            on_event=on_event,
        )
        with self._loop.changed:
            self._loop.start()
        if sync_interval > 0:
            threading.Thread(
                target=self._sync_every, args=(sync_interval,), name="espclient-sync", daemon=True
            ).start()

    @property
    def is_connected(self) -> bool:
        """Is the stream open at this moment?"""
        return self._loop.is_open

    @property
    def newest(self) -> int:
        """Number of the last batch in the spool, as `send` returned it; 0 when there was none."""
        return self._spool.newest

    @property
    def pending(self) -> int:
        """Batches in the spool that the server is not known to have."""
        return self._spool.newest - self._spool.acknowledged

    @property
    def failure(self) -> EspError | None:
        """Why nothing is sent any more: the server refused, another sender took over, or the disk
        failed.
        """
        return self._spool.failure or self._loop.failure

    def send(self, batch: telemetry_pb2.Batch, timeout: float | None = None) -> int:
        """Puts a batch into the spool and returns its number there. `timeout`: seconds to block at
        most while the spool is full; then `SpoolFull`.

        An error means that the batch is not kept; only after `SpoolFailed` it may be.
        """
        readings = count_readings(batch)
        batch.sequence = 0
        payload = batch.SerializeToString()
        self._check_limits(len(payload), readings)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self._raise_failure()
            try:
                number = self._spool.append(payload, readings)
                break
            except SpoolFull:
                if self._when_full == "raise" or (until is not None and time.monotonic() >= until):
                    raise
            with self._loop.changed:
                self._loop.changed.wait(POLL)
        with self._loop.changed:
            self._loop.changed.notify_all()
        return number

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until the server has every batch at the level wanted; False when `timeout` seconds
        were not enough.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._loop.changed:
            while self.pending:
                self._raise_failure()
                if until is not None and time.monotonic() >= until:
                    return False
                self._loop.changed.wait(POLL)
        return True

    def close(self) -> None:
        """Ends the sender. What the server does not have yet stays in the spool for the next start.
        """
        self._loop.abort()
        self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._loop.ended:
            raise SpoolFailed("the spool is closed")

    def _check_limits(self, size: int, readings: int) -> None:
        limits = self._loop.limits
        most = limits.max_batch_readings or ASSUMED_LIMITS.max_batch_readings
        if readings > most:
            raise BatchTooLarge(f"a batch of {readings} readings; the server takes {most}")
        most = limits.max_message_bytes or ASSUMED_LIMITS.max_message_bytes
        if size + FRAME_BYTES > most:
            raise BatchTooLarge(
                f"a batch of {size} bytes; the server takes messages of {most}"
            )

    def _on_lost(self, first: int, last: int) -> None:
        self.lost_batches += last - first + 1
        self._tell(f"batches {first} to {last} are lost: the spool has them no longer")
        if self._lost is not None:
            self._lost(first, last)

    def _on_forgotten(self, first: int, last: int) -> None:
        self.forgotten_batches += last - first + 1
        self._tell(f"the server has forgotten batches {first} to {last}, which it had acknowledged")

    def _tell(self, text: str) -> None:
        if self._on_event is not None:
            self._on_event(text)

    def _sync_every(self, seconds: float) -> None:
        while not self._loop.ended:
            with self._loop.changed:
                self._loop.changed.wait(seconds)
            try:
                self._spool.sync()
            except SpoolFailed:
                return  # The next `send` raises it.
