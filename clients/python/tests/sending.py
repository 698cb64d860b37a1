"""What the tests of the stream send, and what they look for afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable

from espclient import ResumingStream, Rewound
from espclient.protocol import telemetry_pb2 as pb

from server import Fault, TestServer

TIMEOUT = 30.0
"""Seconds after which a test that waits for the server has failed."""


def make_batch(number: int, readings: int = 5, *, bad: int = 0) -> pb.Batch:
    """Readings that tell their batch by the time; the first `bad` have a negative pressure."""
    batch = pb.Batch()
    for i in range(readings):
        reading = batch.readings.add(device_id="W-1", pressure=-1.0 if i < bad else 1.0)
        reading.timestamp.FromMicroseconds(number * 1_000_000 + i)
    return batch


def stored_times(server: TestServer) -> list[int]:
    return [row[1] for row in server.store.rows()]


def all_times(batches: int, readings: int = 5) -> list[int]:
    return [n * 1_000_000 + i for n in range(1, batches + 1) for i in range(readings)]


def fault_once(server: TestServer, point: str, sequence: int, kind: str) -> None:
    """Lets the server break once at that point."""
    left = [True]

    def fault(at: str, number: int) -> None:
        if left[0] and (at, number) == (point, sequence):
            left[0] = False
            raise Fault(kind)

    server.service.fault = fault


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        time.sleep(0.005)


def send_all(stream: ResumingStream, batches: int, readings: int = 5) -> None:
    """Sends batches 1 to `batches`, from the server's cursor, going back when it does."""
    number = stream.open()
    while True:
        try:
            while number < batches:
                assert stream.send(make_batch(number + 1, readings)) == number + 1
                number += 1
            stream.close()
            return
        except Rewound as rewound:
            number = rewound.last_sequence


def send_all_from(stream: ResumingStream, first: int, last: int) -> None:
    for number in range(first, last + 1):
        stream.send(make_batch(number))
    stream.close()


def send_for_ever(stream: ResumingStream) -> None:
    while True:
        stream.send(make_batch(stream.open() + 1))
        stream.flush()
