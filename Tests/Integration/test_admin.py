"""What operators see of a real server, beside what its clients counted themselves; and streams that they end."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import h2.settings
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from espclient.channel import open_channel
from espclient.protocol import admin_pb2, admin_pb2_grpc
from espclient.protocol import telemetry_pb2 as pb

from certificates import Certificates
from espd_process import Espd, free_port, make_folder, run_espd, wait_for
from ingest_stream import IngestStream, detail, make_batch
from wire import INGEST_STREAM, Wire, frame

INGEST = "/esp.v1.TelemetryService/IngestStream"
STREAM_WINDOW = 1 << 20
CODE = grpc.StatusCode


@pytest.fixture
def admin(channel: grpc.Channel) -> admin_pb2_grpc.AdminServiceStub:
    return admin_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture
def other(shared: Espd) -> Iterator[grpc.Channel]:
    """A client on a connection of its own: windows and peers are not those of `admin`."""
    with open_channel(shared.target) as other:
        yield other


@pytest.fixture
def certificates() -> Iterator[Certificates]:
    folder = make_folder("esp admin ")
    yield Certificates(folder / "tls files")
    shutil.rmtree(folder)


def list_all(admin: admin_pb2_grpc.AdminServiceStub, page_size: int = 0) -> list[admin_pb2.StreamInfo]:
    found, token = [], ""
    while True:
        page = admin.ListStreams(admin_pb2.ListStreamsRequest(page_size=page_size, page_token=token), timeout=10)
        assert page_size == 0 or len(page.streams) <= page_size
        found.extend(page.streams)
        if not (token := page.next_page_token):
            return found


def of_producer(admin: admin_pb2_grpc.AdminServiceStub, producer: str) -> admin_pb2.StreamInfo:
    (stream,) = (stream for stream in list_all(admin) if stream.ingest.producer_id == producer)
    return stream


def refusal(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value


# ListStreams.


def test_numbers_equal_the_clients_own_count(admin: admin_pb2_grpc.AdminServiceStub, other: grpc.Channel, name: str):
    requests = [pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name, ack_level=pb.ACK_LEVEL_COMMITTED))]
    begin = time.monotonic()
    with IngestStream(other, name, timeout=300) as stream:
        answers = [stream.next()]
        for sequence in range(1, 41):
            requests.append(pb.IngestStreamRequest(batch=make_batch(name, sequence)))
            stream.send(requests[-1])
        answers += [stream.next() for _ in range(40)]
        seen = of_producer(admin, name)
        age = time.monotonic() - begin
        assert seen.method == INGEST
        assert re.fullmatch(r"127\.0\.0\.1:\d{1,5}", seen.peer)
        assert seen.principal == ""
        assert seen.received_messages == len(requests) == 41
        assert seen.received_bytes == sum(request.ByteSize() for request in requests)
        assert seen.sent_messages == len(answers) == 41
        assert seen.sent_bytes == sum(answer.ByteSize() for answer in answers)
        assert (seen.waiting_bytes, seen.paused) == (0, False)
        assert seen.ingest == admin_pb2.IngestProgress(producer_id=name, acked_sequence=answers[-1].result.sequence)
        assert 0 < seen.age.ToNanoseconds() / 1e9 <= age
        assert 300 - age <= seen.time_left.ToNanoseconds() / 1e9 <= 300
    wait_for(lambda: all(info.ingest.producer_id != name for info in list_all(admin)), "an ended call leaves the list")


def test_windows_are_those_of_both_ends(shared: Espd, admin: admin_pb2_grpc.AdminServiceStub, name: str):
    """A client that announces a window of 4 bytes: the answer to `open` has to wait, and whatever the client has not
    been given back is what it knows itself.
    """
    with Wire(shared.port) as wire:
        # What came is not given back, or the answer would trickle out.
        wire.h2.acknowledge_received_data = lambda *_: None
        wire.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 4})
        wire.flush()
        call = wire.open(INGEST_STREAM)
        body = frame(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name)).SerializeToString())
        wire.send(call, body)
        wire.receive_until(lambda: len(wire.answers[call].body) == 4)
        seen = of_producer(admin, name)
        assert seen.windows.server_may_send_bytes == 0
        assert seen.sent_messages == 1
        assert seen.waiting_bytes == seen.sent_bytes + 5 - 4
        # The connection's window, 65,535 bytes until its client makes use of it, is the smaller one.
        assert seen.windows.client_may_send_bytes == 65_535 - len(body)
        assert seen.windows.client_may_send_bytes == wire.h2.local_flow_control_window(call)
        # The rest is let out: nothing waits, and what is left of the new window is what came.
        wire.h2.increment_flow_control_window(1000, call)
        wire.flush()
        wire.receive_until(lambda: len(wire.answers[call].body) == seen.sent_bytes + 5)
        seen = of_producer(admin, name)
        assert (seen.waiting_bytes, seen.windows.server_may_send_bytes) == (0, 1004 - seen.sent_bytes - 5)
        wire.reset(call)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_peer_is_named_by_address_and_port(make_espd: Callable[..., Espd], name: str, host: str):
    espd = make_espd()
    shown = f"[{host}]" if ":" in host else host
    espd.host = shown
    espd.start()
    with Wire(espd.port, host) as wire, open_channel(espd.target) as channel:
        call = wire.open(INGEST_STREAM)
        wire.send(call, frame(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name)).SerializeToString()))
        wire.receive_until(lambda: len(wire.answers[call].body) > 5)
        peer = of_producer(admin_pb2_grpc.AdminServiceStub(channel), name).peer
        assert peer == f"{shown}:{wire.socket.getsockname()[1]}"
        wire.reset(call)
    espd.stop()


def test_each_kind_of_long_call_is_listed_with_its_client(admin: admin_pb2_grpc.AdminServiceStub, other: grpc.Channel):
    watch = health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest(service="of.test_admin"), timeout=60)
    next(watch)
    seen = [stream for stream in list_all(admin) if stream.method == "/grpc.health.v1.Health/Watch"]
    assert [(stream.received_messages, stream.sent_messages, stream.HasField("ingest")) for stream in seen] \
        == [(1, 1, False)]
    watch.cancel()
    wait_for(lambda: all(stream.stream_id != seen[0].stream_id for stream in list_all(admin)), "a cancelled call goes")


def test_pages_hold_every_stream_once(admin: admin_pb2_grpc.AdminServiceStub, other: grpc.Channel, name: str):
    streams = [IngestStream(other, f"{name}-{index}") for index in range(7)]
    try:
        for stream in streams:
            stream.opened()
        ids = [info.stream_id for info in list_all(admin, page_size=3) if info.ingest.producer_id.startswith(name)]
        assert len(ids) == len(set(ids)) == 7
        assert ids == sorted(ids)
    finally:
        for stream in streams:
            stream.__exit__()


@pytest.mark.parametrize(("request_", "field"), [
    (admin_pb2.ListStreamsRequest(page_size=1001), "page_size"),
    (admin_pb2.ListStreamsRequest(page_token="next"), "page_token"),
])
def test_an_impossible_page_names_the_field(admin: admin_pb2_grpc.AdminServiceStub,
                                            request_: admin_pb2.ListStreamsRequest, field: str):
    error = refusal(lambda: admin.ListStreams(request_, timeout=10))
    assert error.code() is CODE.INVALID_ARGUMENT
    assert detail(error, error_details_pb2.BadRequest).field_violations[0].field == field


# KillStream.


def test_a_killed_stream_ends_with_the_reason_and_the_producer_goes_on(
        shared: Espd, admin: admin_pb2_grpc.AdminServiceStub, other: grpc.Channel, name: str):
    bystander = IngestStream(other, f"{name}-bystander")
    bystander.opened()
    with IngestStream(other, name) as stream:
        stream.opened()
        stream.send_batches(make_batch(name, sequence) for sequence in (1, 2))
        assert [stream.result().sequence for _ in range(2)] == [1, 2]
        killed = of_producer(admin, name).stream_id
        admin.KillStream(admin_pb2.KillStreamRequest(stream_id=killed, reason="moved to field 7, 100 % é"), timeout=10)
        assert stream.status() == (CODE.ABORTED, "ended by an operator: moved to field 7, 100 % é")
        info = detail(stream.call, error_details_pb2.ErrorInfo)
        assert (info.reason, info.domain, info.metadata["reason"]) == ("KILLED", "esp", "moved to field 7, 100 % é")
    assert all(info.stream_id != killed for info in list_all(admin))
    with IngestStream(other, name) as again:
        assert again.opened().last_sequence == 2
        again.send_batches([make_batch(name, 2), make_batch(name, 3)])
        results = [again.result() for _ in range(2)]
        assert [(result.sequence, result.stored, result.duplicate) for result in results] == [(2, 0, 3), (3, 3, 0)]
        assert of_producer(admin, name).stream_id > killed
    # Nobody else noticed.
    bystander.send_batches([make_batch(f"{name}-bystander", 1)])
    assert bystander.result().stored == 3
    bystander.__exit__()


def test_a_long_answer_can_be_killed(admin: admin_pb2_grpc.AdminServiceStub, other: grpc.Channel):
    watch = health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest(service="of.test_kill"), timeout=60)
    next(watch)
    before = {info.stream_id for info in list_all(admin) if info.method == "/grpc.health.v1.Health/Watch"}
    assert len(before) == 1
    admin.KillStream(admin_pb2.KillStreamRequest(stream_id=before.pop(), reason="done"), timeout=10)
    error = refusal(lambda: next(watch))
    assert (error.code(), error.details()) == (CODE.ABORTED, "ended by an operator: done")


@pytest.mark.parametrize(("stream_id", "reason", "code", "phrase"), [
    (1 << 63, "r", CODE.NOT_FOUND, "no stream 9223372036854775808"),
    (0, "r", CODE.INVALID_ARGUMENT, "stream_id"),
    (1 << 63, "", CODE.INVALID_ARGUMENT, "reason: has 0 bytes"),
    (1 << 63, "é" * 129, CODE.INVALID_ARGUMENT, "reason: has 258 bytes"),
])
def test_what_cant_be_killed_is_said(admin: admin_pb2_grpc.AdminServiceStub, stream_id: int, reason: str,
                                     code: grpc.StatusCode, phrase: str):
    request = admin_pb2.KillStreamRequest(stream_id=stream_id, reason=reason)
    error = refusal(lambda: admin.KillStream(request, timeout=10))
    assert error.code() is code
    assert error.details().startswith(phrase)


def test_a_stream_is_killed_once(admin: admin_pb2_grpc.AdminServiceStub, other: grpc.Channel, name: str):
    with IngestStream(other, name) as stream:
        stream.opened()
        request = admin_pb2.KillStreamRequest(stream_id=of_producer(admin, name).stream_id, reason="once")
        admin.KillStream(request, timeout=10)
        assert refusal(lambda: admin.KillStream(request, timeout=10)).code() is CODE.NOT_FOUND
        assert stream.status()[0] is CODE.ABORTED


# GetServerInfo.


def test_server_info_is_true_of_the_server(make_espd: Callable[..., Espd], name: str):
    espd = make_espd(ESP_MAX_READING_AGE_DAYS="7", ESP_MEMORY_BUDGET_MIB="96", ESP_MAX_STREAMS="77").start()
    with open_channel(espd.target) as channel, open_channel(espd.target) as second:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        with IngestStream(second, name) as stream:
            opened = stream.opened()
            info = admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10)
            assert info.version == run_espd("--version").stdout.strip()
            assert info.process_id == espd.pid
            assert list(info.listeners) == [admin_pb2.Listener(address=espd.target)]
            assert list(info.ack_levels) == [pb.ACK_LEVEL_ACCEPTED, pb.ACK_LEVEL_DURABLE, pb.ACK_LEVEL_COMMITTED]
            assert info.storage == admin_pb2.STORAGE_EMBEDDED_POSTGRESQL
            assert (info.open_connections, info.open_streams) == (2, 1)
            assert info.limits.max_message_bytes == opened.max_message_bytes
            assert info.limits.max_batch_readings == opened.max_batch_readings
            assert info.keepalive.heartbeat_interval == opened.heartbeat_interval
            assert info.limits.stream_window_bytes == STREAM_WINDOW
            assert info.limits.max_reading_age.ToSeconds() == 7 * 86_400
            assert info.limits.memory_budget_bytes == 96 << 20
            assert info.limits.max_concurrent_calls == 77
            assert (info.keepalive.min_ping_interval.ToSeconds(), info.keepalive.max_ping_strikes) == (5, 2)
            assert not info.keepalive.HasField("max_connection_age")
            assert abs(info.start_time.ToNanoseconds() / 1e9 + info.uptime.ToNanoseconds() / 1e9 - time.time()) < 5
        later = admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10)
        assert later.uptime.ToNanoseconds() > info.uptime.ToNanoseconds()
        assert later.start_time == info.start_time
    espd.stop()


def test_tls_and_its_clients_are_named(make_espd: Callable[..., Espd], certificates: Certificates, name: str):
    certificates.issue("gateway", "/CN=gateway-12", "DNS:gateway-12")
    address = f"127.0.0.1:{free_port()}"
    espd = make_espd(**certificates.settings(address, client_authority="ca")).start()
    with certificates.open_channel(address, client="gateway") as secure, open_channel(espd.target) as plain:
        admin = admin_pb2_grpc.AdminServiceStub(plain)
        with IngestStream(secure, name) as stream:
            stream.opened()
            assert of_producer(admin, name).principal == "CN=gateway-12"
            info = admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10)
            assert list(info.listeners) == [
                admin_pb2.Listener(address=espd.target),
                admin_pb2.Listener(address=address, tls=True, client_certificate_required=True)]
    espd.stop()


# The setting `reflection`.


def test_without_reflection_its_services_are_not_there(make_espd: Callable[..., Espd]):
    espd = make_espd(ESP_REFLECTION="false").start()
    with open_channel(espd.target) as channel:
        for version in ("v1", "v1alpha"):
            service = f"grpc.reflection.{version}.ServerReflection"
            ask = channel.stream_stream(
                f"/{service}/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
            question = reflection_pb2.ServerReflectionRequest(list_services="")
            error = refusal(lambda: list(ask(iter([question]), timeout=10)))
            assert (error.code(), error.details()) == (CODE.UNIMPLEMENTED, f"unknown service {service}")
            check = health_pb2_grpc.HealthStub(channel).Check
            error = refusal(lambda: check(health_pb2.HealthCheckRequest(service=service), timeout=10))
            assert error.code() is CODE.NOT_FOUND
        # All else is.
        admin_pb2_grpc.AdminServiceStub(channel).GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10)
    espd.stop()


@pytest.mark.parametrize("value", ["no", "1", "TRUE", "falsee"])
def test_reflection_is_true_or_false(value: str):
    done = run_espd("check-config", "--reflection", value)
    assert done.returncode == 1
    assert f"reflection is {value}; true or false is needed" in done.stderr


def test_reflection_from_each_source(tmp_path: Path):
    assert "reflection = true\n" in run_espd("check-config").stdout
    assert "reflection = false\n" in run_espd("check-config", ESP_REFLECTION="false").stdout
    file = tmp_path / "espd.json"
    for value in (False, "false"):
        file.write_text(json.dumps({"reflection": value}))
        assert "reflection = false\n" in run_espd("check-config", "--config", file).stdout
    assert "reflection = true\n" in run_espd("check-config", "--config", file, "--reflection", "true").stdout
