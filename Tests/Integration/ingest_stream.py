"""One IngestStream call by grpcio, message by message: for the rules that a resuming client hides."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable
from typing import Self

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

TIMEOUT = 30.0


def make_batch(device: str, sequence: int, readings: int = 3) -> pb.Batch:
    """Readings of one device; each has its own time, so that rows tell which sequence they came with."""
    batch = pb.Batch(sequence=sequence)
    first = int(time.time()) - 86_400 + sequence * 1000
    for index in range(readings):
        batch.readings.add(device_id=device, temperature=sequence % 100).timestamp.FromSeconds(first + index)
    return batch


class IngestStream:
    """A call that is open. Answers are taken one by one; whatever does not come fails after a while."""

    def __init__(self, channel: grpc.Channel, producer: str, *, timeout: float = 120, opens: bool = True,
                 level: int = pb.ACK_LEVEL_COMMITTED) -> None:
        """At COMMITTED, not the default, so that a test may look into the tables as soon as it is answered."""
        self._requests: queue.SimpleQueue[pb.IngestStreamRequest | None] = queue.SimpleQueue()
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        self.call = stub.IngestStream(iter(self._requests.get, None), timeout=timeout)
        if opens:
            self.send(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=producer, ack_level=level)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self.call.cancel()

    def opened(self) -> pb.StreamOpened:
        answer = self.next()
        assert answer.WhichOneof("message") == "opened", answer
        return answer.opened

    def send(self, request: pb.IngestStreamRequest) -> None:
        self._requests.put(request)

    def send_batches(self, batches: Iterable[pb.Batch]) -> None:
        for batch in batches:
            self.send(pb.IngestStreamRequest(batch=batch))

    def end(self) -> None:
        """No more requests."""
        self._requests.put(None)

    def next(self) -> pb.IngestStreamResponse:
        return next(self.call)

    def result(self) -> pb.BatchResult:
        """The answer to a batch, which must be what comes next; heartbeats of a long wait aside."""
        answer = self.next()
        while answer.WhichOneof("message") == "heartbeat":
            answer = self.next()
        assert answer.WhichOneof("message") == "result", answer
        return answer.result

    def status(self) -> tuple[grpc.StatusCode, str]:
        """How the call ended; it must end, with nothing before."""
        rest = []
        try:
            rest.extend(self.call)
        except grpc.RpcError:
            pass
        assert rest == []
        return self.call.code(), self.call.details()


def status_of(error: grpc.Call) -> status_pb2.Status:
    """The google.rpc.Status in the trailers; its code and message are the plain ones."""
    (encoded,) = (value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin")
    status = status_pb2.Status.FromString(encoded)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return status


def detail(error: grpc.Call, kind: type[Message]) -> Message:
    """The one detail of a type."""
    (found,) = (unpacked for one in status_of(error).details if one.Unpack(unpacked := kind()))
    return found
