"""A stream of batches to `TelemetryService.IngestStream` that survives every break and stores each
batch exactly once.

Nothing is kept on this side: the server's cursor of the producer, moved in the transaction of the
data, is the truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from espclient.connection import POLL, ConnectionLoop, OnResult
from espclient.encoding import count_readings, encode_request
from espclient.errors import BatchTooLarge, EspError, Interrupted, Rewound
from espclient.protocol import ACK_LEVELS, telemetry_pb2
from espclient.totals import Totals
from espclient.window import SendWindow

FRAME_BYTES = 32
"""More than the sequence and the frames around a batch take in its message."""


class ResumingStream:
    """Sends batches of one producer in order. One thread at a time may call its methods.

    They raise an `EspError` once the stream has failed for good, and `Rewound` when the server
    forgot batches that it
    had acknowledged; after that one the stream goes on with what is sent next.
    """

    def __init__(
        self,
        target: str,
        producer_id: str,
        *,
        ack: str = "durable",
        historical: bool = False,
        window: int = 16,
        retry_for: float | None = None,
        on_result: OnResult | None = None,
        on_event: Callable[[str], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`window`: batches under way at most. `retry_for`: seconds to go on without progress; None
        means for ever.

        `on_result(result, tag)` is called for each answer, in order, and `on_event(text)` for each
        break, both on the stream's own thread: they must be quick. When `stop()` is true, waiting
        calls raise `Interrupted`.
        """
        self.totals = Totals()
        self._stop = stop
        self._window = SendWindow(window, self.totals)
        self._loop = ConnectionLoop(
            target,
            telemetry_pb2.OpenStream(
                producer_id=producer_id, ack_level=ACK_LEVELS[ack], historical=historical
            ),
            self._window,
            retry_for=retry_for,
            on_result=on_result,
            on_event=on_event,
        )

    @property
    def is_connected(self) -> bool:
        """Is the stream open at this moment?"""
        return self._loop.is_open

    def open(self) -> int:
        """Connects and returns the server's cursor: the sequence of the last batch of this producer
        it has stored.

        Later calls return the last sequence that is known to be stored.
        """
        with self._loop.changed:
            self._loop.start()
            self._wait_until(lambda: self._window.acknowledged is not None)
            return self._window.acknowledged or 0

    def send(self, batch: telemetry_pb2.Batch, readings: int | None = None, tag: Any = None) -> int:
        """Hands over a batch, waiting while the window is full, and returns the sequence that it
        got.

        `readings` is the number of readings in it, counted when not given; `tag` comes back with
        the answer.
        """
        count = count_readings(batch) if readings is None else readings
        self.open()
        with self._loop.changed:
            self._wait_until(lambda: self._window.has_room and not self._loop.ended)
            self._check_limits(batch, count)
            sequence = self._window.add(lambda number: encode_request(batch, number), count, tag)
            self._loop.changed.notify_all()
        return sequence

    def flush(self) -> None:
        """Waits until every batch is answered."""
        with self._loop.changed:
            self._wait_until(lambda: self._window.is_empty)

    def close(self) -> None:
        """Waits until every batch is answered and ends the stream. Nothing can be sent after it.

        After `Rewound` the stream is still open; after any other error it is not.
        """
        try:
            self.flush()
        except Rewound:
            raise
        except EspError:
            self.abort()
            raise
        self._loop.close()

    def leave(self, grace: float) -> None:
        """Ends the stream, giving outstanding answers `grace` seconds, whatever `stop` says. Raises
        nothing.
        """
        until = time.monotonic() + grace
        with self._loop.changed:
            while not (self._loop.ended or self._window.is_empty) and time.monotonic() < until:
                self._loop.changed.wait(POLL)
        self.abort()

    def abort(self) -> None:
        """Ends the stream at once. Batches without an answer stay `unconfirmed`: the server's
        cursor knows.
        """
        self._loop.abort()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self.abort()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits, with the lock held; raises what the caller has to know first."""
        while True:
            if self._loop.failure is not None:
                raise self._loop.failure
            if self._window.rewound_to is not None:
                last_sequence, self._window.rewound_to = self._window.rewound_to, None
                raise Rewound(last_sequence)
            if condition():
                return
            if self._loop.ended:
                raise EspError("the stream is closed")
            if self._stop():
                raise Interrupted("stopped")
            self._loop.changed.wait(POLL)

    def _check_limits(self, batch: telemetry_pb2.Batch, readings: int) -> None:
        limits = self._loop.limits
        if limits.max_batch_readings and readings > limits.max_batch_readings:
            raise BatchTooLarge(
                f"a batch of {readings} readings; the server takes {limits.max_batch_readings}"
            )
        if limits.max_message_bytes and batch.ByteSize() + FRAME_BYTES > limits.max_message_bytes:
            raise BatchTooLarge(
                f"a batch of {batch.ByteSize()} bytes;"
                f" the server takes messages of {limits.max_message_bytes}"
            )
