"""Health, reflection and the end of the server: what a load balancer, a person with grpcurl and systemd see."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd, wait_for
from ingest_stream import IngestStream, detail, make_batch
from readings import Feed
from sender import Sender, assert_stored_once
from wire import INGEST_STREAM, Wire, frame

GRPCURL = Path(sys.executable).parent / "grpcurl"
TELEMETRY = "esp.v1.TelemetryService"
SERVICES = ["esp.v1.AdminService", "esp.v1.DeadLetterService", TELEMETRY, "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


# Health.


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_of_each_service_is_serving(channel: grpc.Channel, service: str):
    check = health_pb2_grpc.HealthStub(channel).Check
    assert check(health_pb2.HealthCheckRequest(service=service), timeout=10).status == SERVING


def test_health_of_an_unknown_service_is_not_found(channel: grpc.Channel):
    with pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="esp.v2.Nothing"), timeout=10)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "esp.v2.Nothing" in refused.value.details()


def test_a_watch_sees_that_the_server_goes_away(espd: Espd):
    with open_channel(espd.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        whole = watch(health_pb2.HealthCheckRequest(), timeout=60)
        one = watch(health_pb2.HealthCheckRequest(service=TELEMETRY), timeout=60)
        unknown = watch(health_pb2.HealthCheckRequest(service="esp.v2.Nothing"), timeout=60)
        assert [next(answer).status for answer in (whole, one, unknown)] == [SERVING, SERVING, SERVICE_UNKNOWN]
        espd.terminate()
        assert [next(answer).status for answer in (whole, one)] == [NOT_SERVING, NOT_SERVING]
        for answer in (whole, one, unknown):
            with pytest.raises(grpc.RpcError) as ended:
                next(answer)
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert espd.wait() == 0


def test_a_watch_is_told_of_the_drain_within_100_ms(make_espd: Callable[..., Espd]):
    """FEATURES G10. A busy machine may be late now and then: one of five starts has to be in time."""
    espd = make_espd()
    took: list[float] = []
    while not took or (min(took) > 0.1 and len(took) < 5):
        espd.start()
        with open_channel(espd.target) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service=TELEMETRY), timeout=60)
            assert next(watch).status == SERVING
            begin = time.monotonic()
            espd.terminate()
            assert next(watch).status == NOT_SERVING
            took.append(time.monotonic() - begin)
        assert espd.wait() == 0
    assert min(took) <= 0.1, took


# grpcurl and reflection: no proto file at hand.


def grpcurl(target: str, *arguments: str, data: str | None = None) -> str:
    command = [GRPCURL, "-plaintext", *(["-d", "@"] if data is not None else []), target, *arguments]
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def json_values(text: str) -> list[dict[str, object]]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


def test_grpcurl_lists_and_describes(shared: Espd):
    assert grpcurl(shared.target, "list").split() == SERVICES
    methods = grpcurl(shared.target, "list", TELEMETRY).split()
    assert {"Ingest", "IngestReading", "IngestStream", "QueryReadings", "ExportReadings"} <= {
        method.rpartition(".")[2] for method in methods}
    text = grpcurl(shared.target, "describe", "esp.v1.Reading")
    assert "string device_id = 1;" in text
    assert "optional float temperature = 3" in text
    text = grpcurl(shared.target, "describe", f"{TELEMETRY}.IngestStream")
    assert "( stream .esp.v1.IngestStreamRequest ) returns ( stream .esp.v1.IngestStreamResponse )" in text


def test_grpcurl_sends_queries_exports_and_streams(shared: Espd, name: str):
    times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60 + second)) for second in range(3)]
    readings = [{"device_id": name, "timestamp": stamp, "temperature": 85.5} for stamp in times]
    request = json.dumps({"readings": readings[:2]})
    (answer,) = json_values(grpcurl(shared.target, f"{TELEMETRY}/Ingest", data=request))
    assert answer["result"]["stored"] == 2

    batch = {"batch": {"sequence": 1, "readings": readings[2:]}}
    requests = json.dumps({"open": {"producer_id": name}}) + json.dumps(batch)
    opened, result = json_values(grpcurl(shared.target, f"{TELEMETRY}/IngestStream", data=requests))
    assert opened["opened"]["maxBatchReadings"] == 100_000
    assert result["result"]["stored"] == 1

    query = json.dumps({"device_id": [name], "order": "ORDER_ASC"})
    (page,) = json_values(grpcurl(shared.target, f"{TELEMETRY}/QueryReadings", data=query))
    assert [one["reading"]["timestamp"] for one in page["readings"]] == times
    devices = json.dumps({"device_id": [name]})
    exported = json_values(grpcurl(shared.target, f"{TELEMETRY}/ExportReadings", data=devices))
    assert [one["reading"]["reading"]["temperature"] for one in exported] == [85.5] * 3


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_by_grpcio(channel: grpc.Channel, version: str):
    """Both versions have the same messages on the wire, so one's classes serve for the other."""
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="esp.v1.TelemetryService.Ingest"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="nothing.proto"),
    ]
    services, file, missing = ask(iter(requests), timeout=20)
    assert [service.name for service in services.list_services_response.service] == SERVICES
    files = [descriptor_pb2.FileDescriptorProto.FromString(one) for one in
             file.file_descriptor_response.file_descriptor_proto]
    assert files[0].name == "esp/v1/telemetry.proto"
    assert set(files[0].dependency) <= {one.name for one in files}
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


# The end.


class Answers:
    """Takes the answers of a call on a thread of its own."""

    def __init__(self, call: grpc.Call) -> None:
        self.call = call
        self.queue: queue.Queue[object] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for answer in self.call:
                self.queue.put(answer)
        except grpc.RpcError:
            pass
        self.queue.put(self.call.code())

    def next(self, timeout: float = 30) -> object:
        return self.queue.get(timeout=timeout)


def test_sigterm_drains_a_stream_and_ends_it_with_ok(espd: Espd, name: str):
    with open_channel(espd.target) as channel, open_channel(espd.target) as idle, IngestStream(channel, name) as stream:
        grpc.channel_ready_future(idle).result(20)
        stream.opened()
        stream.send_batches(make_batch(name, number) for number in (1, 2, 3))
        for _ in range(3):
            stream.result()
        began = time.monotonic()
        espd.terminate()
        drain = stream.next()
        assert drain.WhichOneof("message") == "drain", drain
        assert drain.drain.last_sequence == 3
        assert drain.drain.reconnect_after.ToTimedelta().total_seconds() > 0
        assert stream.status()[0] is grpc.StatusCode.OK
        assert espd.wait() == 0
        # Clients that go when asked don't make it wait for the drain timeout of 10 s.
        assert time.monotonic() - began < 9


def test_a_drain_answers_what_is_on_its_way(espd: Espd, name: str):
    """Batches that the server had taken are in the table, and their results precede the end."""
    with open_channel(espd.target) as channel, IngestStream(channel, name) as stream:
        stream.opened()
        answers = Answers(stream.call)
        stream.send_batches(make_batch(name, number, 2000) for number in range(1, 41))
        first = answers.next()
        espd.terminate()
        last, drained = first.result.sequence, 0
        while not isinstance(answer := answers.next(), grpc.StatusCode):
            if answer.WhichOneof("message") == "drain":
                drained += 1
            else:
                assert answer.result.sequence == last + 1
                last += 1
        assert answer is grpc.StatusCode.OK
        assert drained == 1
        assert espd.wait() == 0
    espd.start()
    with open_channel(espd.target) as channel, IngestStream(channel, name) as stream:
        assert stream.opened().last_sequence == last
    assert espd.database.count("telemetry") == 2000 * last


def test_sigterm_does_not_wait_for_ever_for_a_client_that_stays(make_espd: Callable[..., Espd], name: str):
    espd = make_espd("--drain-timeout-seconds", 2).start()
    with Wire(espd.port) as wire, Wire(espd.port) as silent:
        opening = pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name))
        stream = wire.open(INGEST_STREAM)
        wire.send(stream, frame(opening.SerializeToString()))
        wire.receive_until(lambda: wire.answers[stream].body)
        # A call that the server can't end by itself: the request has no end.
        unary = wire.open("/esp.v1.TelemetryService/Ingest")
        wire.send(unary, b"\0\0")
        began = time.monotonic()
        espd.terminate()
        assert espd.wait() == 0
        assert 1.5 < time.monotonic() - began < 15
        assert silent.socket.fileno() >= 0


def test_idle_connections_are_asked_to_go_and_closed(espd: Espd):
    with Wire(espd.port) as wire:
        wire.call("/grpc.health.v1.Health/Check", frame(b""))
        espd.terminate()
        with pytest.raises(AssertionError, match="closed the connection"):
            wire.receive_until(lambda: False)
        assert (wire.goaway, wire.last_stream) == (0, 1), "NO_ERROR, after the only stream there was"
        assert espd.wait() == 0


def test_a_call_during_the_drain_is_unavailable(make_espd: Callable[..., Espd], name: str):
    espd = make_espd("--drain-timeout-seconds", 3).start()
    with Wire(espd.port) as wire:
        unary = wire.open("/esp.v1.TelemetryService/Ingest")
        wire.send(unary, b"\0\0")
        espd.terminate()
        wire.receive_until(lambda: wire.goaway is not None)
        with open_channel(espd.target) as channel, pytest.raises(grpc.RpcError) as refused:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        # What had begun before may end well.
        rest = frame(pb.IngestRequest(readings=make_batch(name, 1).readings).SerializeToString())[2:]
        wire.send(unary, rest, end=True)
        assert wire.answer(unary).code == 0
        assert espd.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once_and_nothing_acknowledged_is_lost(espd: Espd, name: str, number: int):
    with Wire(espd.port) as wire, open_channel(espd.target) as channel, IngestStream(
            channel, name, level=pb.ACK_LEVEL_DURABLE) as stream:
        stream.opened()
        stream.send_batches([make_batch(name, 1)])
        assert stream.result().ack_level == pb.ACK_LEVEL_DURABLE
        wire.send(wire.open("/esp.v1.TelemetryService/Ingest"), b"\0\0")
        postmaster = espd.postmaster_pid()
        os.kill(espd.pid, number)
        assert stream.next().WhichOneof("message") == "drain"
        began = time.monotonic()
        os.kill(espd.pid, number)
        assert espd.wait() == 1
        assert time.monotonic() - began < 5
    wait_for(lambda: espd.postmaster_pid() != postmaster, "the database follows")
    espd.start()
    wait_for(lambda: espd.database.count("telemetry") == 3, "what was durable is stored")


def test_a_resuming_client_rides_through_three_restarts(espd: Espd, name: str):
    feed = Feed(name, readings=200)
    with Sender(espd.target, feed) as sender:
        for _ in range(3):
            sender.await_progress()
            espd.stop()
            espd.start()
        sender.await_progress()
        batches = sender.finish()
    assert_stored_once(espd.database, feed, batches)


def test_an_overloaded_or_leaving_server_says_when_to_come_back(espd: Espd):
    """UNAVAILABLE with RetryInfo, as the watch shows it."""
    with open_channel(espd.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        next(watch)
        espd.terminate()
        with pytest.raises(grpc.RpcError) as ended:
            list(watch)
        assert detail(ended.value, error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0
        assert detail(ended.value, error_details_pb2.ErrorInfo).domain == "esp"
        assert espd.wait() == 0
