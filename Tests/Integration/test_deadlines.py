"""Deadlines and cancelled calls: they end, they cost nothing that stays.

1,000 cancelled calls a kind, 250 of them exports; full (ESP_TEST_FULL=1): ten times as many.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from espclient import ResumingStream
from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd, wait_for
from ingest_stream import IngestStream, make_batch
from readings import START_US, Feed
from wire import INGEST, INGEST_STREAM, Wire, frame

Stub = telemetry_pb2_grpc.TelemetryServiceStub
DEADLINE_EXCEEDED = 4


@pytest.fixture(scope="module")
def full(shared: Espd) -> Feed:
    """100,000 readings to query: more than any window takes."""
    feed = Feed("deadlines")
    with ResumingStream(shared.target, feed.name) as stream:
        for number in range(1, 101):
            stream.send(feed.batch(number))
    return feed


def all_of(feed: Feed) -> pb.ExportReadingsRequest:
    request = pb.ExportReadingsRequest(device_id=feed.devices)
    request.start_time.FromMicroseconds(START_US)
    request.end_time.FromMicroseconds(START_US + 3600 * 10**6)
    return request


@pytest.mark.parametrize("timeout", ["1n", "1u", "0m", "1m"])
def test_a_deadline_that_has_passed_is_told_by_the_server(shared: Espd, timeout: str):
    """By hand: a client of gRPC would say it itself and not wait for the server."""
    with Wire(shared.port) as wire:
        unary = wire.open(INGEST, grpc_timeout=timeout)
        stream = wire.open(INGEST_STREAM, grpc_timeout=timeout)
        for call in (unary, stream):
            answer = wire.answer(call)
            assert (answer.http, answer.code) == (200, DEADLINE_EXCEEDED)
            assert "deadline" in answer.message


def test_a_stream_ends_at_its_deadline_and_its_batches_are_kept(shared: Espd, name: str):
    with Wire(shared.port) as wire:
        stream = wire.open(INGEST_STREAM, grpc_timeout="1500m")
        began = time.monotonic()
        wire.send(stream, frame(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name)).SerializeToString()))
        wire.send(stream, frame(pb.IngestStreamRequest(batch=make_batch(name, 1)).SerializeToString()))
        answer = wire.answer(stream)
        assert answer.code == DEADLINE_EXCEEDED
        assert 1 < time.monotonic() - began < 10
        opened, result = (pb.IngestStreamResponse.FromString(message) for message in answer.messages())
        assert (opened.opened.last_sequence, result.result.stored) == (0, 3)


def test_a_query_of_a_millisecond_by_grpcio(shared: Espd, full: Feed):
    with open_channel(shared.target) as channel:
        for _ in range(20):
            with pytest.raises(grpc.RpcError) as late:
                list(Stub(channel).ExportReadings(all_of(full), timeout=0.001))
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(list(Stub(channel).ExportReadings(all_of(full), timeout=60))) == 100_000


def cancel_ingest(channel: grpc.Channel, number: int, _: Feed) -> None:
    call = Stub(channel).Ingest.future(pb.IngestRequest(readings=make_batch("cancelled", number).readings))
    call.cancel()


def cancel_stream(channel: grpc.Channel, number: int, _: Feed) -> None:
    with IngestStream(channel, f"cancelled-{number}") as stream:
        if number % 2:
            stream.opened()
            stream.send_batches([make_batch("cancelled", 1)])


def cancel_query(channel: grpc.Channel, number: int, full: Feed) -> None:
    request = pb.QueryReadingsRequest(device_id=full.devices, limit=1000)
    request.start_time.FromMicroseconds(START_US)
    call = Stub(channel).QueryReadings.future(request)
    call.cancel()


def cancel_export(channel: grpc.Channel, number: int, full: Feed) -> None:
    call = Stub(channel).ExportReadings(all_of(full))
    if number % 2:
        next(call)
    call.cancel()


def cancel_watch(channel: grpc.Channel, number: int, _: Feed) -> None:
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    if number % 2:
        next(call)
    call.cancel()


@pytest.mark.parametrize("cancel", [cancel_ingest, cancel_stream, cancel_query, cancel_export, cancel_watch])
def test_cancelled_calls_leave_nothing_behind(
        shared: Espd, full: Feed, is_full: bool, cancel: Callable[[grpc.Channel, int, Feed], None]):
    # An export that is cut takes its database connection with it: 30 ms a call.
    calls = (250 if cancel is cancel_export else 1000) * (10 if is_full else 1)
    with open_channel(shared.target) as channel:
        for number in range(50):
            cancel(channel, number, full)
        check = health_pb2_grpc.HealthStub(channel).Check
        assert check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
        files, memory = shared.file_count, shared.resident_bytes
        for number in range(calls):
            cancel(channel, number, full)
        assert check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
        # Database connections of queries that were cut may still be on their way out.
        wait_for(lambda: shared.file_count <= files + 8, f"open files return to {files}")
        grown = shared.resident_bytes - memory
        assert grown < (64 << 20), f"{grown >> 20} MiB more after {calls} cancelled calls"
        assert len(list(Stub(channel).ExportReadings(all_of(full), timeout=60))) == 100_000


def test_connections_that_are_cut_leave_nothing_behind(shared: Espd, full: Feed):
    files = shared.file_count
    for number in range(200):
        with contextlib.ExitStack() as stack:
            wire = stack.enter_context(Wire(shared.port))
            stream = wire.open((INGEST_STREAM, "/esp.v1.TelemetryService/ExportReadings")[number % 2])
            opening = pb.IngestStreamRequest(open=pb.OpenStream(producer_id=f"cut-{number}"))
            wire.send(stream, frame((opening, all_of(full))[number % 2].SerializeToString()), end=number % 4 > 1)
            if number % 3:
                wire.receive(5)
    wait_for(lambda: shared.file_count <= files + 8, f"open files return to {files}")
