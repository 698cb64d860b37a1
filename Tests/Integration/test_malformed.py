"""Malformed input over real connections: each gets a clear answer, and the same connection goes on working."""

from __future__ import annotations

import struct
import time
import zlib

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd
from wire import CHECK, INGEST, INGEST_READING, INGEST_STREAM, Answer, Wire, details, frame

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 8, 12, 13
ACCEPTED_TYPES = "application/grpc, application/grpc-web, application/grpc-web-text"


def good_request(device: str = "good", count: int = 1) -> pb.IngestRequest:
    request = pb.IngestRequest()
    for index in range(count):
        request.readings.add(device_id=device, temperature=50 + index).timestamp.FromSeconds(int(time.time()) - index)
    return request


def assert_works(wire: Wire) -> None:
    """The connection still does what it is for."""
    answer = wire.call(INGEST, frame(good_request().SerializeToString()))
    assert (answer.http, answer.code) == (200, 0), answer
    assert pb.IngestResponse.FromString(answer.messages()[0]).result.stored == 1
    health = wire.call(CHECK, frame(b""))
    assert health_pb2.HealthCheckResponse.FromString(health.messages()[0]).status == 1


@pytest.fixture
def wire(shared: Espd):
    """A connection that is tried once more at the end of the test."""
    with Wire(shared.port) as wire:
        yield wire
        assert_works(wire)
        assert wire.goaway is None


def assert_error(answer: Answer, code: int, phrase: str) -> None:
    """A gRPC error that says what is wrong, in its message and as google.rpc.Status from domain esp."""
    assert (answer.http, answer.code) == (200, code), answer
    assert phrase in answer.message
    (info,) = details(answer.status, error_details_pb2.ErrorInfo)
    assert (info.domain, bool(info.reason)) == ("esp", True)


GOOD = good_request().SerializeToString()


@pytest.mark.parametrize("path", [INGEST, INGEST_READING, INGEST_STREAM])
@pytest.mark.parametrize(
    ("body", "code", "phrase"),
    [
        pytest.param(frame(GOOD, flag=1), INTERNAL, "flagged as compressed", id="compressed flag without encoding"),
        pytest.param(frame(GOOD, flag=2), INTERNAL, "begins with byte 2", id="flag 2"),
        pytest.param(frame(GOOD, flag=255), INTERNAL, "begins with byte 255", id="flag 255"),
        pytest.param(frame(GOOD, length=len(GOOD) + 10), INTERNAL, "10 bytes before the end", id="length too long"),
        pytest.param(frame(GOOD)[:3], INTERNAL, "before the end of a message", id="prefix cut short"),
        pytest.param(frame(b"", length=(4 << 20) + 1), RESOURCE_EXHAUSTED, "4194304", id="announces 4 MiB and 1"),
        pytest.param(frame(b"", length=0xFFFFFFFF), RESOURCE_EXHAUSTED, "4294967295 bytes", id="announces 4 GiB"),
        pytest.param(frame(b"\x22\x7f\x0a"), INVALID_ARGUMENT, "not a valid esp.v1.Ingest", id="truncated field"),
        pytest.param(frame(b"\xff" * 20), INVALID_ARGUMENT, "not a valid esp.v1.Ingest", id="endless varint"),
        pytest.param(frame(b"\x00\x01"), INVALID_ARGUMENT, "not a valid esp.v1.Ingest", id="field 0"),
    ],
)
def test_bytes_that_are_no_message(wire: Wire, path: str, body: bytes, code: int, phrase: str):
    answer = wire.call(path, body)
    assert_error(answer, code, phrase)
    if code == RESOURCE_EXHAUSTED:
        # A repetition can't help, so nothing may invite one.
        assert "grpc-retry-pushback-ms" not in answer.fields
        assert details(answer.status, error_details_pb2.RetryInfo) == []


@pytest.mark.parametrize("body", [b"", frame(GOOD) * 2], ids=["no message", "two messages"])
def test_a_unary_call_takes_one_message(wire: Wire, body: bytes):
    assert_error(wire.call(INGEST, body), UNIMPLEMENTED, "takes one request message")


def test_a_message_of_5_mib_is_refused_by_its_prefix_at_once(wire: Wire):
    stream = wire.open(INGEST)
    wire.send(stream, frame(bytes(100), length=5 << 20))
    began = time.monotonic()
    answer = wire.answer(stream)
    assert time.monotonic() - began < 5
    assert_error(answer, RESOURCE_EXHAUSTED, "5242880 bytes; the limit is 4194304")
    # Sent in full it is no different, and the window that it took is given back.
    for _ in range(8):
        assert_error(wire.call(INGEST, frame(bytes(5 << 20))), RESOURCE_EXHAUSTED, "5242880 bytes")


def test_a_message_of_5_mib_by_grpcio(stub: telemetry_pb2_grpc.TelemetryServiceStub):
    with pytest.raises(grpc.RpcError) as refused:
        stub.Ingest(pb.IngestRequest(producer_id="x" * (5 << 20)), timeout=20)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "4194304" in refused.value.details()
    assert stub.Ingest(good_request(), timeout=20).result.stored == 1


# What surrounds the message.


@pytest.mark.parametrize(
    ("path", "phrase"),
    [
        ("/esp.v1.TelemetryService/Nothing", "unknown method Nothing of service esp.v1.TelemetryService"),
        ("/esp.v1.NothingService/Ingest", "unknown service esp.v1.NothingService"),
        ("/", "names no service"),
        ("/esp.v1.TelemetryService/Ingest/", "unknown method"),
        ("/" + "x" * 8000, "unknown service"),
    ],
)
def test_an_unknown_method_is_named(wire: Wire, path: str, phrase: str):
    assert_error(wire.call(path, frame(b"")), UNIMPLEMENTED, phrase)


@pytest.mark.parametrize("content_type", ["application/json", "application/grpc-webx", "application/grpcx", "", None])
def test_another_content_type_is_415(wire: Wire, content_type: str | None):
    answer = wire.call(INGEST, frame(GOOD), content_type=content_type)
    assert answer.http == 415
    assert answer.headers["accept-post"] == ACCEPTED_TYPES


@pytest.mark.parametrize("content_type", ["application/grpc+proto", "application/grpc;charset=utf-8"])
def test_the_longer_names_of_grpc_are_taken(wire: Wire, content_type: str):
    assert wire.call(INGEST, frame(GOOD), content_type=content_type).code == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_another_method_is_405(wire: Wire, method: str):
    stream = wire.open(INGEST, method=method, end=True)
    answer = wire.answer(stream)
    assert (answer.http, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("encoding", ["snappy", "x-nothing"])
def test_an_encoding_that_is_not_supported_is_named_with_those_that_are(wire: Wire, encoding: str):
    answer = wire.call(INGEST, frame(GOOD, flag=1), grpc_encoding=encoding)
    assert_error(answer, UNIMPLEMENTED, f"grpc-encoding {encoding} is not supported")
    assert answer.headers["grpc-accept-encoding"] == "identity,gzip,deflate"


@pytest.mark.parametrize(("encoding", "window_bits"), [("gzip", 31), ("deflate", 15)])
def test_a_compressed_batch_is_stored(wire: Wire, encoding: str, window_bits: int):
    compressor = zlib.compressobj(wbits=window_bits)
    message = compressor.compress(GOOD) + compressor.flush()
    assert wire.call(INGEST, frame(message, flag=1), grpc_encoding=encoding).code == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_message_that_is_not_of_its_encoding_is_internal(wire: Wire, encoding: str):
    answer = wire.call(INGEST, frame(GOOD, flag=1), grpc_encoding=encoding)
    assert_error(answer, INTERNAL, f"not complete {encoding}")


@pytest.mark.parametrize("timeout", ["", "1", "S", "1x", "-1S", "123456789S", "1.5S", "1 S", "99999999999999999999n"])
def test_a_malformed_timeout_is_an_error_and_not_no_deadline(wire: Wire, timeout: str):
    assert_error(wire.call(INGEST, frame(GOOD), grpc_timeout=timeout), INVALID_ARGUMENT, "grpc-timeout")


@pytest.mark.parametrize("timeout", ["99999999H", "99999999M", "99999999S", "1H", "10000m"])
def test_a_long_timeout_is_no_error(wire: Wire, timeout: str):
    assert wire.call(INGEST, frame(GOOD), grpc_timeout=timeout).code == 0


def test_headers_beyond_16_kib_are_431(wire: Wire):
    assert wire.call(INGEST, frame(GOOD), x_big="x" * 17_000).http == 431


# Readings that can't be stored.


def raw(device: bytes, seconds: int | None, nanos: int = 0, signal: float | None = 50.0) -> bytes:
    """An esp.v1.Reading by hand: device ids that are no UTF-8, times that no library would write."""
    out = b"\x0a" + bytes([len(device)]) + device if len(device) < 128 else \
        b"\x0a" + bytes([len(device) & 127 | 128, len(device) >> 7]) + device
    if seconds is not None:
        stamp = b"\x08" + varint(seconds) + b"\x10" + varint(nanos)
        out += b"\x12" + bytes([len(stamp)]) + stamp
    if signal is not None:
        out += b"\x1d" + struct.pack("<f", signal)
    return out


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def now() -> int:
    return int(time.time())


BAD_READINGS = {
    "NaN": (lambda name: raw(name, now(), signal=float("nan")), "NON_FINITE_VALUE", "temperature"),
    "infinite": (lambda name: raw(name, now(), signal=float("-inf")), "NON_FINITE_VALUE", "temperature"),
    "too hot": (lambda name: raw(name, now(), signal=200.5), "OUT_OF_RANGE", "temperature"),
    "in ten minutes": (lambda name: raw(name, now() + 600), "TIMESTAMP_IN_FUTURE", "timestamp"),
    "in the year 9999": (lambda name: raw(name, 253_402_300_799), "TIMESTAMP_IN_FUTURE", "timestamp"),
    "31 days ago": (lambda name: raw(name, now() - 31 * 86_400), "TIMESTAMP_TOO_OLD", "timestamp"),
    "in the year 1": (lambda name: raw(name, -62_135_596_800), "TIMESTAMP_TOO_OLD", "timestamp"),
    "no time": (lambda name: raw(name, None), "MISSING_TIMESTAMP", "timestamp"),
    "year 10000": (lambda name: raw(name, 253_402_300_800), "INVALID_TIMESTAMP", "timestamp"),
    "seconds of int64": (lambda name: raw(name, (1 << 63) - 1), "INVALID_TIMESTAMP", "timestamp"),
    "nanos of a second": (lambda name: raw(name, now(), 1_000_000_000), "INVALID_TIMESTAMP", "timestamp"),
    "negative nanos": (lambda name: raw(name, now(), -1), "INVALID_TIMESTAMP", "timestamp"),
    "no signals": (lambda name: raw(name, now(), signal=None), "NO_SIGNALS", ""),
    "only a sentinel": (lambda name: raw(name, now(), signal=-999.25), "NO_SIGNALS", ""),
}


BAD_IDS = {
    "bad UTF-8": b"\xff\xfe", "none": b"", "space": b"a b", "NUL": b"a\0b", "129 bytes": b"d" * 129, "slash": b"a/b",
}


def dead_letters(server: Espd, producer: str) -> list[dict[str, object]]:
    return server.database.rows("SELECT reason, field, sequence, encode(original, 'hex') AS original "
                                f"FROM dead_letters WHERE producer_id = '{producer}' ORDER BY id")


def send_among_good_ones(wire: Wire, name: str, bad: bytes) -> pb.BatchResult:
    """The bad reading is the second of four."""
    good = [raw(name.encode(), now() - index) for index in range(3)]
    body = b"".join(b"\x22" + varint(len(one)) + one for one in (good[0], bad, good[1], good[2]))
    producer = b"\x0a" + varint(len(name)) + name.encode() + b"\x10\x01"
    answer = wire.call(INGEST, frame(producer + body))
    assert answer.code == 0, answer
    result = pb.IngestResponse.FromString(answer.messages()[0]).result
    assert [(one.first_index, one.count) for one in result.verdicts] == [(1, 1)]
    return result


@pytest.mark.parametrize("kind", BAD_IDS)
def test_a_reading_of_no_device_is_rejected_and_the_rest_of_its_batch_stored(
        shared: Espd, wire: Wire, kind: str, name: str):
    result = send_among_good_ones(wire, name, raw(BAD_IDS[kind], now()))
    assert (result.stored, result.quarantined, result.duplicate, result.rejected) == (3, 0, 0, 1)
    (verdict,) = result.verdicts
    assert verdict.outcome == pb.Verdict.OUTCOME_REJECTED
    assert (verdict.reason, verdict.field, verdict.retryable) == ("INVALID_DEVICE_ID", "device_id", False)
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 3
    assert shared.database.count("dead_letters", f"producer_id = '{name}'") == 0


@pytest.mark.parametrize("kind", BAD_READINGS)
def test_a_bad_reading_is_quarantined_and_the_rest_of_its_batch_stored(shared: Espd, wire: Wire, kind: str, name: str):
    make, reason, field = BAD_READINGS[kind]
    bad = make(name.encode())
    result = send_among_good_ones(wire, name, bad)
    assert (result.stored, result.quarantined, result.duplicate, result.rejected) == (3, 1, 0, 0)
    (verdict,) = result.verdicts
    assert verdict.outcome == pb.Verdict.OUTCOME_QUARANTINED
    assert (verdict.reason, verdict.field, verdict.retryable) == (reason, field, False)
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 3
    (letter,) = dead_letters(shared, name)
    assert letter == {"reason": reason, "field": field, "sequence": 1, "original": bad.hex()}
    assert pb.Reading.FromString(bytes.fromhex(letter["original"])).device_id == name


def test_bad_samples_of_a_block_are_quarantined_as_readings(shared: Espd, wire: Wire, name: str):
    nan = float("nan")
    start = (now() - 100) * 1_000_000
    block = pb.ReadingBlock(device_id=name, start_time_unix_us=start, time_delta_us=[0, 1, 2, 3],
                            temperature=[10, 300, nan, 40], pressure=[1, 2, nan, -4])
    request = pb.IngestRequest(producer_id=name, sequence=1, blocks=[block])
    answer = wire.call(INGEST, frame(request.SerializeToString()))
    result = pb.IngestResponse.FromString(answer.messages()[0]).result
    assert (result.stored, result.quarantined) == (1, 3)
    letters = dead_letters(shared, name)
    assert [(one["reason"], one["field"]) for one in letters] == [
        ("OUT_OF_RANGE", "temperature"), ("NO_SIGNALS", ""), ("OUT_OF_RANGE", "pressure")]
    readings = [pb.Reading.FromString(bytes.fromhex(one["original"])) for one in letters]
    assert [one.timestamp.ToMicroseconds() - start for one in readings] == [1, 3, 6]
    assert {one.device_id for one in readings} == {name}
    assert (readings[0].temperature, readings[0].pressure, readings[2].pressure) == (300, 2, -4)


def test_a_block_whose_columns_do_not_fit_is_refused_as_a_whole(wire: Wire, name: str):
    block = pb.ReadingBlock(device_id=name, start_time_unix_us=now() * 1_000_000, time_delta_us=[0, 1],
                            temperature=[10, 20, 30])
    request = pb.IngestRequest(blocks=[block], readings=good_request(name).readings)
    answer = wire.call(INGEST, frame(request.SerializeToString()))
    result = pb.IngestResponse.FromString(answer.messages()[0]).result
    assert result.stored == 1
    assert {verdict.reason for verdict in result.verdicts} == {"INVALID_BLOCK"}


# Batches that can't be taken.


def test_no_readings(wire: Wire):
    assert_error(wire.call(INGEST, frame(b"")), INVALID_ARGUMENT, "readings")
    assert_error(wire.call(INGEST_READING, frame(b"")), INVALID_ARGUMENT, "reading: is missing")


def test_100_000_readings_are_taken_and_one_more_is_not(shared: Espd, wire: Wire, name: str):
    small = raw(name.encode()[:20], now())
    row = b"\x22" + varint(len(small)) + small
    answer = wire.call(INGEST, frame(row * 100_001))
    assert_error(answer, INVALID_ARGUMENT, "100001 readings, at most 100000")
    block = pb.ReadingBlock(device_id=name, start_time_unix_us=(now() - 1) * 1_000_000,
                            time_delta_us=[0] * 100_001, temperature=[1.0] * 100_001)
    assert_error(wire.call(INGEST, frame(pb.IngestRequest(blocks=[block]).SerializeToString())),
                 INVALID_ARGUMENT, "100001 readings, at most 100000")
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 0
    answer = wire.call(INGEST, frame(row * 100_000))
    assert pb.IngestResponse.FromString(answer.messages()[0]).result.stored == 100_000


@pytest.mark.parametrize("producer", ["a b", "ü", "x" * 129, "a/b", "~own", "a\0b"])
def test_a_bad_producer_id_is_refused(wire: Wire, producer: str):
    request = good_request()
    request.producer_id, request.sequence = producer, 1
    assert_error(wire.call(INGEST, frame(request.SerializeToString())), INVALID_ARGUMENT, "producer_id")
    opening = pb.IngestStreamRequest(open=pb.OpenStream(producer_id=producer))
    assert_error(wire.call(INGEST_STREAM, frame(opening.SerializeToString())), INVALID_ARGUMENT, "producer_id")


def test_grpcio_with_bytes_that_are_no_message(channel: grpc.Channel):
    ingest = channel.unary_unary(INGEST, request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.RpcError) as refused:
        ingest(b"\x22\x05abc", timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a valid esp.v1.IngestRequest" in refused.value.details()
    assert ingest(GOOD, timeout=20)
