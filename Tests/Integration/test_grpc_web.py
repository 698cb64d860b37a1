"""gRPC-Web against a real espd: both forms, over HTTP/1.1 and HTTP/2 on the same port, by a client of our own."""

from __future__ import annotations

import base64
import http.client
import random
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from espclient.protocol import telemetry_pb2 as pb

from espd_process import Espd, wait_for
from grpc_web import BINARY, TEXT, TRAILERS, TYPES, Reader, WebAnswer, call_http1, call_http2, encode, parse_trailers
from ingest_stream import make_batch
from wire import CHECK, INGEST, INGEST_READING, INGEST_STREAM, Wire, details, frame

QUERY = "/esp.v1.TelemetryService/QueryReadings"
EXPORT = "/esp.v1.TelemetryService/ExportReadings"
WATCH = "/grpc.health.v1.Health/Watch"
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 8, 12, 13

Call = Callable[..., WebAnswer]


@pytest.fixture
def connection(shared: Espd) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=30)
    yield connection
    connection.close()


@pytest.fixture(params=["http/1.1", "h2"])
def call(request: pytest.FixtureRequest, shared: Espd, connection: http.client.HTTPConnection) -> Iterator[Call]:
    """Calls over one connection, which is tried once more at the end of the test."""
    with Wire(shared.port) as wire:
        def call(*arguments: object, **fields: str) -> WebAnswer:
            if request.param == "h2":
                return call_http2(wire, *arguments, **fields)
            return call_http1(connection, *arguments, **fields)

        assert call(CHECK, b"", BINARY).code == OK
        socket = connection.sock
        yield call
        assert health_pb2.HealthCheckResponse.FromString(call(CHECK, b"", BINARY).messages[0]).status == 1
        assert connection.sock is socket, "the connection was not kept"


def readings(name: str, count: int = 3, sequence: int = 1) -> list[pb.Reading]:
    return list(make_batch(name, sequence, count).readings)


def query_of(name: str) -> pb.QueryReadingsRequest:
    request = pb.QueryReadingsRequest(device_id=[name], limit=10_000)
    request.start_time.FromSeconds(int(time.time()) - 3 * 86_400)
    return request


def export_of(name: str) -> pb.ExportReadingsRequest:
    request = pb.ExportReadingsRequest(device_id=[name])
    request.start_time.FromSeconds(0)
    return request


# Calls.


@pytest.mark.parametrize("content_type", TYPES)
def test_what_is_stored_is_queried_and_exported(call: Call, shared: Espd, name: str, content_type: str):
    sent = readings(name)
    for reading in sent:
        answer = call(INGEST_READING, pb.IngestReadingRequest(reading=reading).SerializeToString(), content_type)
        assert answer.code == OK, answer
        assert pb.IngestReadingResponse.FromString(answer.messages[0]).result.stored == 1
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 3

    answer = call(QUERY, query_of(name).SerializeToString(), content_type)
    found = pb.QueryReadingsResponse.FromString(answer.messages[0]).readings
    assert sorted(stored.reading.timestamp.seconds for stored in found) == [r.timestamp.seconds for r in sent]
    assert (answer.code, len(answer.messages)) == (OK, 1)

    answer = call(EXPORT, export_of(name).SerializeToString(), content_type)
    exported = [pb.ExportReadingsResponse.FromString(message).reading.reading for message in answer.messages]
    assert sorted(reading.timestamp.seconds for reading in exported) == [r.timestamp.seconds for r in sent]
    assert answer.trailers["grpc-status"] == "0"


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_long_stream_comes_whole(call: Call, shared: Espd, name: str, content_type: str):
    """More than any buffer holds: the server has to wait for the client many times."""
    request = pb.IngestRequest(readings=readings(name, 30_000), ack_level=pb.ACK_LEVEL_COMMITTED)
    assert pb.IngestResponse.FromString(
        call(INGEST, request.SerializeToString(), content_type).messages[0]).result.stored == 30_000
    answer = call(EXPORT, export_of(name).SerializeToString(), content_type)
    seconds = [pb.ExportReadingsResponse.FromString(message).reading.reading.timestamp.seconds
               for message in answer.messages]
    assert (answer.code, sorted(seconds)) == (OK, [reading.timestamp.seconds for reading in request.readings])


def test_text_in_padded_pieces_cut_anywhere(connection: http.client.HTTPConnection, name: str, seed: str):
    rng = random.Random(seed)
    for sequence in range(1, 41):
        body = frame(pb.IngestReadingRequest(reading=readings(name, 1, sequence)[0]).SerializeToString())
        cuts = sorted(rng.choices(range(len(body) + 1), k=3))
        text = b"".join(base64.b64encode(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)]))
        places = sorted(set(rng.choices(range(1, len(text)), k=rng.randrange(8))))
        pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)])]
        answer = call_http1(connection, INGEST_READING, iter(pieces), TEXT)
        assert (answer.code, len(answer.messages)) == (OK, 1), (cuts, places)


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_compressed_requests_are_read(call: Call, name: str, content_type: str):
    request = zlib.compress(pb.IngestRequest(readings=readings(name, 1000)).SerializeToString())
    answer = call(INGEST, request, content_type, flag=1, grpc_encoding="deflate")
    assert pb.IngestResponse.FromString(answer.messages[0]).result.stored == 1000
    assert call(INGEST, request, content_type, flag=1).code == INTERNAL
    assert call(INGEST, request[:-3], content_type, flag=1, grpc_encoding="deflate").code == INTERNAL


# Streams in both directions.


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_deadline_ends_a_stream(connection: http.client.HTTPConnection, content_type: str):
    connection.request("POST", WATCH, encode(frame(b""), content_type),
                       {"content-type": content_type, "grpc-timeout": "700m"})
    response, reader = connection.getresponse(), Reader(content_type)
    assert (response.status, response.getheader("transfer-encoding")) == (200, "chunked")
    (flag, message), (last, trailers) = reader.feed(response.read())
    assert (flag, health_pb2.HealthCheckResponse.FromString(message).status) == (0, 1)
    assert last == TRAILERS
    assert parse_trailers(trailers)["grpc-status"] == str(DEADLINE_EXCEEDED)


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_stream_in_both_directions_while_the_request_goes_on(connection: http.client.HTTPConnection, shared: Espd,
                                                               content_type: str, name: str):
    """No browser can, over HTTP/1.1; other clients of the protocol can."""
    connection.putrequest("POST", INGEST_STREAM)
    connection.putheader("content-type", content_type)
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()

    def send(request: pb.IngestStreamRequest) -> None:
        piece = encode(frame(request.SerializeToString()), content_type)
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))

    send(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name)))
    response, reader, frames = connection.getresponse(), Reader(content_type), []

    def next_frame() -> tuple[int, bytes]:
        while not frames:
            data = response.read1(65_536)
            assert data, "the stream has ended"
            frames.extend(reader.feed(data))
        return frames.pop(0)

    assert pb.IngestStreamResponse.FromString(next_frame()[1]).opened.max_batch_readings > 0
    for sequence in range(1, 11):
        send(pb.IngestStreamRequest(batch=make_batch(name, sequence)))
        assert pb.IngestStreamResponse.FromString(next_frame()[1]).result.stored == 3
    connection.send(b"0\r\n\r\n")
    flag, trailers = next_frame()
    assert (flag, parse_trailers(trailers)) == (TRAILERS, {"grpc-status": "0"})
    assert response.read() == b""
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 30


def test_a_message_does_not_wait_for_the_end_and_a_client_that_goes_ends_its_stream(shared: Espd):
    before = shared.file_count
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=30)
        connection.request("POST", WATCH, frame(b""), {"content-type": BINARY})
        response = connection.getresponse()
        # Watch has no end of its own.
        assert list(Reader(BINARY).feed(response.read1(65_536)))[0][0] == 0
        response.close()
        connection.close()
    wait_for(lambda: shared.file_count <= before, "the connections are gone")


def test_the_end_of_the_server_is_told_to_a_stream(espd: Espd, name: str):
    connection = http.client.HTTPConnection("127.0.0.1", espd.port, timeout=30)
    connection.putrequest("POST", INGEST_STREAM)
    connection.putheader("content-type", BINARY)
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    opening = frame(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=name)).SerializeToString())
    connection.send(b"%x\r\n%s\r\n" % (len(opening), opening))
    response, reader = connection.getresponse(), Reader(BINARY)
    frames = list(reader.feed(response.read1(65_536)))
    assert pb.IngestStreamResponse.FromString(frames[0][1]).HasField("opened")
    espd.terminate()
    (_, drain), *frames = reader.feed(response.read1(65_536))
    assert pb.IngestStreamResponse.FromString(drain).HasField("drain")
    connection.send(b"0\r\n\r\n")
    ((flag, trailers),) = [*frames, *reader.feed(response.read())]
    assert (flag, parse_trailers(trailers)["grpc-status"]) == (TRAILERS, "0")
    assert espd.wait() == 0
    connection.close()


# What is wrong.


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_errors_are_frames_of_trailers_with_details(call: Call, name: str, content_type: str):
    unknown = call("/esp.v1.TelemetryService/Nothing", b"", content_type)
    assert (unknown.code, unknown.messages) == (UNIMPLEMENTED, [])
    assert "unknown method Nothing" in unknown.message

    request = pb.QueryReadingsRequest(device_id=[name], page_token="no token of ours")
    refused = call(QUERY, request.SerializeToString(), content_type)
    assert refused.code == INVALID_ARGUMENT
    (info,) = details(refused.status, error_details_pb2.ErrorInfo)
    assert info.domain == "esp"

    garbled = call(INGEST_READING, b"\xff\xff\xff", content_type)
    assert garbled.code == INVALID_ARGUMENT, garbled

    assert call(CHECK, b"", content_type, grpc_encoding="snappy").code == UNIMPLEMENTED
    assert call(CHECK, b"", content_type, grpc_timeout="soon").code == INVALID_ARGUMENT
    assert call(CHECK, b"", content_type, grpc_timeout="0m").code == DEADLINE_EXCEEDED


@pytest.mark.parametrize("pieces, code, phrase", [
    ([b"AAAAAAA!"], INTERNAL, "not base64"), ([b"AAAA\r\nAAA="], INTERNAL, "not base64"),
    ([b"AAAAAAA=="], INTERNAL, "not base64"), ([b"AAAAA"], INTERNAL, "not base64"), ([b"A", b"A"], INTERNAL, "end"),
])
def test_text_that_is_not_base64(connection: http.client.HTTPConnection, pieces: list[bytes], code: int, phrase: str):
    answer = call_http1(connection, CHECK, iter(pieces), TEXT)
    assert answer.code == code
    assert phrase in answer.message


def test_a_message_too_large_is_refused_from_its_prefix(connection: http.client.HTTPConnection):
    answer = call_http1(connection, INGEST, iter([frame(b"", length=1 << 30)]), BINARY)
    assert answer.code == RESOURCE_EXHAUSTED
    assert f"{1 << 30} bytes" in answer.message


@pytest.mark.parametrize(("method", "path", "content_type", "status"), [
    ("POST", CHECK, "application/json", 415), ("POST", CHECK, "application/grpc-web+json", 415),
    ("POST", CHECK, "application/grpc", 505), ("GET", CHECK, BINARY, 405), ("DELETE", CHECK, None, 405),
    ("POST", "/nothing", "application/json", 404), ("GET", "/", None, 404),
])
def test_what_is_no_call_gets_an_answer_of_http(connection: http.client.HTTPConnection, method: str, path: str,
                                                content_type: str | None, status: int):
    connection.request(method, path, headers={"content-type": content_type} if content_type else {})
    response = connection.getresponse()
    text = response.read()
    assert response.status == status
    assert response.getheader("allow") == ("POST" if status == 405 else None)
    assert bool(response.getheader("accept-post")) == (status == 415)
    assert text or response.getheader("content-length") == "0"
    # And the connection lives.
    assert call_http1(connection, CHECK, b"", BINARY).code == OK
