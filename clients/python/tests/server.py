"""A small telemetry server for the tests, following CONTRACT 2: exactly once into SQLite.

It can be told to break at given points. It also runs as a process of its own, to be killed.
"""

from __future__ import annotations

import argparse
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NamedTuple

import grpc

from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from store import Store, Stored, unpack, unpack_batch


class Fault(Exception):
    """Ends a call in the way that a broken server, proxy or network would."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
        """Name of a status code, `END` for a clean end, or `CRASH` for the whole server."""


class Answer(NamedTuple):
    """What became of one batch."""

    result: pb.BatchResult
    rows: list[Stored]


class Telemetry(telemetry_pb2_grpc.TelemetryServiceServicer):
    """The service. `fault(point, sequence)` may raise a `Fault` or return."""

    def __init__(
        self,
        store: Store,
        fault: Callable[[str, int], None] = lambda point, sequence: None,
        crash: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.fault = fault
        self.crash = crash
        self.heartbeat = 0.05
        self.limits = pb.StreamOpened(max_batch_readings=100_000, max_message_bytes=4 << 20)
        self.drain_at: set[int] = set()
        """Sequences after whose answer the server drains."""
        self.exhausted: list[tuple[str, str]] | None = None
        """Trailers of one RESOURCE_EXHAUSTED to answer the next opening with."""
        self.opened: list[pb.OpenStream] = []
        self.opened_at: list[float] = []
        self._live: dict[str, queue.Queue[object]] = {}
        self._lock = threading.Lock()

    def IngestStream(
        self, request_iterator: Iterator[pb.IngestStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IngestStreamResponse]:
        requests: queue.Queue[object] = queue.Queue()
        threading.Thread(target=_forward, args=(request_iterator, requests), daemon=True).start()
        try:
            yield from self._stream(requests, context)
        except Fault as fault:
            if fault.kind == "CRASH":
                self.crash()
                context.cancel()
            elif fault.kind != "END":
                context.abort(grpc.StatusCode[fault.kind], "the test wants it")

    def _stream(
        self, requests: queue.Queue[object], context: grpc.ServicerContext
    ) -> Iterator[pb.IngestStreamResponse]:
        first = requests.get()
        if not isinstance(first, pb.IngestStreamRequest) or not first.HasField("open"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "open comes first")
        producer = first.open.producer_id
        with self._lock:
            self.opened.append(first.open)
            self.opened_at.append(time.monotonic())
            if producer in self._live:
                self._live[producer].put("taken over")
            self._live[producer] = requests
            trailers, self.exhausted = self.exhausted, None
        if trailers is not None:
            context.set_trailing_metadata(trailers)
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much at once")
        self.fault("open", 0)
        opened = pb.StreamOpened()
        opened.CopyFrom(self.limits)
        opened.last_sequence = self.store.last_sequence(producer)
        opened.heartbeat_interval.FromMicroseconds(int(self.heartbeat * 1e6))
        yield pb.IngestStreamResponse(opened=opened)
        self.fault("opened", 0)
        while True:
            try:
                request = requests.get(timeout=self.heartbeat)
            except queue.Empty:
                yield pb.IngestStreamResponse(heartbeat=pb.Heartbeat())
                continue
            if request == "taken over":
                context.abort(grpc.StatusCode.ABORTED, "another stream of this producer")
            if not isinstance(request, pb.IngestStreamRequest):
                return
            result = self._ingest(request.batch, first.open, requests, context)
            yield pb.IngestStreamResponse(result=result)
            self.fault("answered", request.batch.sequence)
            if request.batch.sequence in self.drain_at:
                self.drain_at.discard(request.batch.sequence)
                drain = pb.Drain(last_sequence=request.batch.sequence)
                drain.reconnect_after.FromMilliseconds(300)
                yield pb.IngestStreamResponse(drain=drain)

    def _ingest(
        self,
        batch: pb.Batch,
        opening: pb.OpenStream,
        mine: queue.Queue[object],
        context: grpc.ServicerContext,
    ) -> pb.BatchResult:
        self.fault("received", batch.sequence)
        with self.store.lock:
            if self._live[opening.producer_id] is not mine:
                context.abort(grpc.StatusCode.ABORTED, "another stream of this producer")
            expected = self.store.last_sequence(opening.producer_id) + 1
            if batch.sequence > expected:
                context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"sequence {batch.sequence}, expected {expected}",
                )
            answer = judge(batch)
            if batch.sequence < expected:
                return duplicate(batch, len(answer.rows) + answer.result.quarantined)
            durable = opening.ack_level != pb.ACK_LEVEL_ACCEPTED or batch.sequence % 5 == 0
            self.store.store(opening.producer_id, batch.sequence, answer.rows, durable=durable)
        self.fault("stored", batch.sequence)
        return answer.result

    def QueryReadings(
        self, request: pb.QueryReadingsRequest, context: grpc.ServicerContext
    ) -> pb.QueryReadingsResponse:
        found = list(self._select(request))
        if request.order != pb.ORDER_ASC:
            found.reverse()
        first = int(request.page_token or 0)
        end = first + min(request.limit or 1000, 10_000)
        token = str(end) if end < len(found) else ""
        return pb.QueryReadingsResponse(readings=found[first:end], next_page_token=token)

    def ExportReadings(
        self, request: pb.ExportReadingsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportReadingsResponse]:
        for stored in self._select(request):
            yield pb.ExportReadingsResponse(reading=stored)

    def _select(
        self, request: pb.QueryReadingsRequest | pb.ExportReadingsRequest
    ) -> Iterator[pb.StoredReading]:
        start = request.start_time.ToMicroseconds()
        end = request.end_time.ToMicroseconds() if request.HasField("end_time") else 1 << 62
        for device, time_us, signals, source in self.store.rows():
            if start <= time_us < end and (not request.device_id or device in request.device_id):
                reading = pb.Reading(device_id=device, source_system=source)
                reading.timestamp.FromMicroseconds(time_us)
                for signal, value in unpack(signals).items():
                    setattr(reading, signal, value)
                stored = pb.StoredReading(reading=reading, data_quality_score=1.0)
                stored.ingestion_timestamp.FromMicroseconds(time_us + 1)
                yield stored


class TestServer:
    """A `Telemetry` on a free port of 127.0.0.1, which can crash and come back on the same port."""

    __test__ = False

    def __init__(self, store: Store | None = None, port: int = 0) -> None:
        self.store = store or Store()
        self.service = Telemetry(self.store, crash=self._crash)
        self.crashes = 0
        self.port = 0
        self._lock = threading.Lock()
        self._stopped = False
        self._start(port)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._server.stop(0).wait()

    def _start(self, port: int) -> None:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 1)]
        )
        telemetry_pb2_grpc.add_TelemetryServiceServicer_to_server(self.service, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def _crash(self) -> None:
        """Called from a call: every connection breaks, what is only in memory is lost."""
        self.crashes += 1
        self.store.crash()
        threading.Thread(target=self._restart, daemon=True).start()

    def _restart(self) -> None:
        with self._lock:
            if not self._stopped:
                self._server.stop(0).wait()
                self._start(self.port)


def judge(batch: pb.Batch) -> Answer:
    """Stores all but readings with a negative pressure, which are quarantined."""
    result = pb.BatchResult(sequence=batch.sequence, ack_level=pb.ACK_LEVEL_DURABLE)
    rows: list[Stored] = []
    for index, row in enumerate(unpack_batch(batch)):
        if unpack(row[2]).get("pressure", 0.0) < 0:
            result.verdicts.add(
                first_index=index,
                count=1,
                outcome=pb.Verdict.OUTCOME_QUARANTINED,
                reason="OUT_OF_RANGE",
                field="pressure",
            )
        else:
            rows.append(row)
    result.stored, result.quarantined = len(rows), len(result.verdicts)
    return Answer(result, rows)


def duplicate(batch: pb.Batch, readings: int) -> pb.BatchResult:
    """The answer to a sequence that was stored before."""
    result = pb.BatchResult(sequence=batch.sequence, duplicate=readings)
    result.verdicts.add(
        count=readings, outcome=pb.Verdict.OUTCOME_DUPLICATE, reason="DUPLICATE_SEQUENCE"
    )
    return result


def _forward(requests: Iterator[object], into: queue.Queue[object]) -> None:
    try:
        for request in requests:
            into.put(request)
    except Exception:  # The call is over; what it says is seen elsewhere.
        pass
    into.put(None)


def main() -> None:
    """Serves a database file until killed; says so on stdout when ready."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    arguments = parser.parse_args()
    server = TestServer(Store(arguments.database), arguments.port)
    print(server.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
