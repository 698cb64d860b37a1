"""Moves the batches of a window over one connection after the other, until told to end or
nothing can help.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from espclient.channel import open_channel
from espclient.errors import EspError, GaveUp, SequenceGap
from espclient.protocol import telemetry_pb2
from espclient.retry import Backoff, wait_asked_for
from espclient.spoolwindow import SpoolWindow
from espclient.window import SendWindow

OPEN_TIMEOUT = 20.0
"""Seconds that a server may take to answer the opening of a stream."""
DRAIN_GRACE = 1.0
"""Seconds that outstanding answers may take after the server said that it goes away."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a server may take to end a stream of which every batch is answered."""
SILENT_HEARTBEATS = 2
"""Heartbeats that may be missing before a silent server counts as gone."""
SILENCE_MARGIN = 1.0
"""Seconds added to them: a busy machine on either side."""
POLL = 0.1
"""Seconds between looks at deadlines."""

METHOD = "/esp.v1.TelemetryService/IngestStream"

OnResult = Callable[[telemetry_pb2.BatchResult, Any], None]


class ConnectionLoop:
    """The threads behind a `ResumingStream` or a `StoreAndForward`.

    `changed` guards all public attributes, and is notified at every change of them.
    """

    def __init__(
        self,
        target: str,
        opening: telemetry_pb2.OpenStream,
        window: SendWindow | SpoolWindow,
        *,
        retry_for: float | None,
        on_result: OnResult | None,
        on_event: Callable[[str], None] | None,
    ) -> None:
        self.changed = threading.Condition()
        self.window = window
        self.limits = telemetry_pb2.StreamOpened()
        """What the server announced when the stream was opened last."""
        self.is_open = False
        self.closing = False
        """Set by the owner: end when every batch is answered."""
        self.ended = False
        self.failure: EspError | None = None
        self._target = target
        self._opening = opening
        self._retry_for = retry_for
        self._on_result = on_result
        self._on_event = on_event
        self._backoff = Backoff()
        # Counts connections: a thread of an older one sees that its time is over.
        self._connection = 0
        self._drain: telemetry_pb2.Drain | None = None
        self._gaps = 0
        self._stuck_since: float | None = None
        self._call: grpc.Call | None = None
        self._deadline: float | None = None  # When `_call` is cancelled, by time.monotonic().
        self._was_late = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the threads, once. With `changed` held."""
        if not self._threads:
            for run in (self._run, self._watch):
                self._threads.append(threading.Thread(target=run, name="espclient", daemon=True))
                self._threads[-1].start()

    def close(self) -> None:
        """Ends after the last answer and waits for it."""
        with self.changed:
            self.closing = True
            self._deadline = time.monotonic() + CLOSE_TIMEOUT
            self.changed.notify_all()
        self._join()

    def abort(self) -> None:
        """Ends now."""
        with self.changed:
            self.ended = True
            call = self._call
            self.changed.notify_all()
        if call is not None:
            call.cancel()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    # The main thread: one connection after the other.

    def _run(self) -> None:
        try:
            while not self._is_done():
                self._connect()
        except EspError as failure:
            self.failure = failure
        except Exception as error:  # A bug of ours or of a callback: the caller must hear of it.
            self.failure = EspError(f"{type(error).__name__}: {error}")
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _is_done(self) -> bool:
        with self.changed:
            return self.ended or (self.closing and self.window.is_empty)

    def _connect(self) -> None:
        """Lives through one connection and the wait after it."""
        error: grpc.RpcError | None = None
        with open_channel(self._target) as channel:
            try:
                for response in self._start_call(channel):
                    self._receive(response)
            except grpc.RpcError as broken:
                error = broken
            finally:
                drain = self._end_call()
        if self._is_done():
            return
        if drain is not None:
            self._pause(max(POLL, drain.reconnect_after.ToTimedelta().total_seconds()))
        else:
            self._pause(self._wait_after(error))

    def _start_call(self, channel: grpc.Channel) -> Iterator[telemetry_pb2.IngestStreamResponse]:
        method = channel.stream_stream(
            METHOD,
            request_serializer=None,
            response_deserializer=telemetry_pb2.IngestStreamResponse.FromString,
        )
        with self.changed:
            self._connection += 1
            self._drain = None
            self._was_late = False
            self._deadline = time.monotonic() + OPEN_TIMEOUT
            self._call = call = method(self._requests(self._connection))
            if self.ended:
                call.cancel()
            return call

    def _end_call(self) -> telemetry_pb2.Drain | None:
        with self.changed:
            self._connection += 1
            self._call = None
            self._deadline = None
            self.is_open = False
            self.changed.notify_all()
            return self._drain

    def _wait_after(self, error: grpc.RpcError | None) -> float:
        """Seconds to wait after a break; raises when there is nothing to wait for."""
        asked = 0.0
        if error is None:
            problem = "the server ended the stream"
        elif self._was_late:
            problem = "the server is silent"
        else:
            problem = f"{error.code().name}: {error.details()}"
            asked = wait_asked_for(error)
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                self._gaps += 1
                if self._gaps > 1:
                    raise SequenceGap(f"after a resume from the server's cursor again {problem}")
        wait = max(asked, self._backoff.next_wait())
        now = time.monotonic()
        if self._stuck_since is None:
            self._stuck_since = now
        if self._retry_for is not None and now + wait > self._stuck_since + self._retry_for:
            raise GaveUp(f"no progress for {self._retry_for:g} s; the last problem: {problem}")
        if self._on_event is not None:
            self._on_event(f"{problem}; trying again in {wait:.1f} s")
        return wait

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self.changed:
            while not self._is_done() and (left := until - time.monotonic()) > 0:
                self.changed.wait(left)

    def _receive(self, response: telemetry_pb2.IngestStreamResponse) -> None:
        """Takes one message of the server. A heartbeat only shows that it lives."""
        kind = response.WhichOneof("message")
        tag: Any = None
        with self.changed:
            if kind == "opened":
                self._opened(response.opened)
            elif kind == "result":
                tag = self.window.answered(response.result).tag
                self._progressed()
            elif kind == "drain":
                self._drain = response.drain
            self._deadline = self._next_deadline()
            self.changed.notify_all()
        if kind == "result" and self._on_result is not None:
            self._on_result(response.result, tag)

    def _opened(self, opened: telemetry_pb2.StreamOpened) -> None:
        before = self.window.acknowledged
        self.window.resume(opened.last_sequence)
        if before is not None:
            self.window.totals.reconnects += 1
        if self.window.is_empty or before != self.window.acknowledged:
            self._progressed()
        self.limits = opened
        self.is_open = True

    def _progressed(self) -> None:
        self._backoff.reset()
        self._stuck_since = None
        self._gaps = 0

    def _next_deadline(self) -> float | None:
        now = time.monotonic()
        if self._drain is not None:
            return min(self._deadline or math.inf, now + DRAIN_GRACE)
        if self.closing:
            return now + CLOSE_TIMEOUT
        heartbeat = self.limits.heartbeat_interval.ToTimedelta().total_seconds()
        return now + SILENT_HEARTBEATS * heartbeat + SILENCE_MARGIN if heartbeat > 0 else None

    # Two more threads: one of grpc that asks for requests, one that ends calls whose time is over.

    def _requests(self, connection: int) -> Iterator[bytes]:
        yield telemetry_pb2.IngestStreamRequest(open=self._opening).SerializeToString()
        while True:
            with self.changed:
                while True:
                    if self._connection != connection or self._drain is not None or self._is_done():
                        return
                    batch = self.window.next_to_write() if self.is_open else None
                    if batch is not None:
                        break
                    self.changed.wait()
            yield batch.payload

    def _watch(self) -> None:
        while True:
            with self.changed:
                if self.ended:
                    return
                call = self._call
                late = self._deadline is not None and time.monotonic() > self._deadline
                if call is None or not late:
                    self.changed.wait(POLL)
                    continue
                self._was_late, self._deadline = True, None
            call.cancel()
