"""HTTP/1.1 on the port of HTTP/2: curl as an independent client, and raw bytes where curl is too polite."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from certificates import Certificates
from espd_process import Espd, free_port, make_folder
from grpc_web import BINARY, TEXT, WebAnswer
from ingest_stream import make_batch
from wire import CHECK, INGEST, Wire, frame

CHECKED = frame(health_pb2.HealthCheckResponse(status=1).SerializeToString())
OK_TRAILERS = b"\x80\0\0\0\x10grpc-status: 0\r\n"
ORIGIN = "https://desk.example"


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = make_folder()
    yield folder
    shutil.rmtree(folder)


class Curl:
    """Requests of one run of curl: on one connection as long as the server keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "30", "--noproxy", "*", *arguments],
                              cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done

    def body(self, content: bytes, name: str = "body") -> str:
        (self.folder / name).write_bytes(content)
        return f"@{name}"

    def facts(self, *arguments: str | Path, count: int = 1) -> list[dict[str, object]]:
        """What curl has to say about each of `count` answers."""
        done = self(*arguments, "--write-out", "%{stderr}%{json}\n")
        facts = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
        assert len(facts) == count, done.stderr
        return facts


@pytest.fixture
def curl(folder: Path) -> Curl:
    return Curl(folder)


def call_of(body: str, content_type: str = BINARY) -> tuple[str, ...]:
    return "--http1.1", "--header", f"content-type: {content_type}", "--data-binary", body


# Connections.


def test_curl_keeps_its_connection_over_calls_and_refusals(shared: Espd, curl: Curl):
    url = f"http://{shared.target}"
    paths = [CHECK, "/nothing", CHECK, "/grpc.health.v1.Health/Nothing", CHECK]
    facts = curl.facts(*call_of(curl.body(frame(b""))), *[url + path for path in paths], count=5)
    assert [fact["http_code"] for fact in facts] == [200] * 5
    assert [fact["num_connects"] for fact in facts] == [1, 0, 0, 0, 0]
    assert {fact["http_version"] for fact in facts} == {"1.1"}
    facts = curl.facts("--http1.1", "--request", "POST", f"{url}/nothing", f"{url}{CHECK}", count=2)
    assert [(fact["http_code"], fact["num_connects"]) for fact in facts] == [(404, 1), (415, 0)]


def test_http_1_0_is_answered_and_closed(shared: Espd, curl: Curl):
    done = curl("--http1.0", "--include", *call_of(curl.body(frame(b"")))[1:], f"http://{shared.target}{CHECK}")
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close" in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert body == CHECKED + OK_TRAILERS


def test_head_has_no_body(shared: Espd, curl: Curl):
    done = curl("--http1.1", "--head", f"http://{shared.target}/", f"http://{shared.target}{CHECK}")
    assert done.stdout.count(b"HTTP/1.1 404") == 1
    assert done.stdout.count(b"HTTP/1.1 405") == 1
    assert done.stdout.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("headers", [
    ["Expect: 100-continue"], ["Expect: 100-continue", "Transfer-Encoding: chunked"],
    ["Expect:", "Transfer-Encoding: chunked"], ["Expect:"],
])
def test_large_bodies_that_wait_for_100_or_come_in_chunks(shared: Espd, curl: Curl, name: str, headers: list[str]):
    request = pb.IngestRequest(readings=make_batch(name, 1, 20_000).readings).SerializeToString()
    more = [word for header in headers for word in ("--header", header)]
    done = curl("--verbose", *call_of(curl.body(frame(request))), *more, "--expect100-timeout", "25",
                f"http://{shared.target}{INGEST}")
    assert (b"< HTTP/1.1 100 Continue" in done.stderr) == (headers[0] != "Expect:")
    answer = WebAnswer.parse(200, {"content-type": BINARY}, done.stdout, BINARY)
    assert pb.IngestResponse.FromString(answer.messages[0]).result.stored == 20_000


def test_a_refusal_comes_instead_of_100(shared: Espd, curl: Curl):
    done = curl("--verbose", *call_of(curl.body(bytes(4 << 20)), "application/json"), "--header",
                "Expect: 100-continue", "--expect100-timeout", "25", f"http://{shared.target}{INGEST}")
    assert b"HTTP/1.1 415" in done.stderr
    assert b"100 Continue" not in done.stderr


def test_pipelined_calls_are_answered_in_order(shared: Espd):
    """By hand: curl has given pipelining up."""
    requests, expected = b"", b""
    for number in range(200):
        path, text = (CHECK, number % 2 == 0) if number % 3 else ("/grpc.health.v1.Health/Nothing", False)
        body = frame(b"")
        if text:
            body = base64.b64encode(body)
        requests += (f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {TEXT if text else BINARY}\r\n"
                     f"content-length: {len(body)}\r\n\r\n").encode() + body
    requests += b"GET /last HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), 30) as connection:
        connection.sendall(requests)
        stream, kinds = connection.makefile("rb"), []
        for number in range(200):
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            fields = dict(iter(lambda: tuple(stream.readline().rstrip().split(b": ", 1)), (b"",)))
            body = stream.read(int(fields[b"content-length"]))
            kinds.append((fields[b"content-type"].decode(), b"grpc-status: 12" in body))
        assert stream.read().startswith(b"HTTP/1.1 404 ")
    assert kinds == [(BINARY, True) if number % 3 == 0 else (TEXT if number % 2 == 0 else BINARY, False)
                     for number in range(200)]


def test_both_versions_at_once_on_one_port(shared: Espd, curl: Curl):
    with open_channel(shared.target) as channel, Wire(shared.port) as wire:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        for _ in range(3):
            assert stub.QueryReadings(pb.QueryReadingsRequest(device_id=["nobody"]), timeout=30) is not None
            assert wire.call(CHECK, frame(b"")).code == 0
            assert curl(*call_of(curl.body(frame(b""))), f"http://{shared.target}{CHECK}").stdout == (
                CHECKED + OK_TRAILERS)
    facts = curl.facts("--http2-prior-knowledge", *call_of(curl.body(frame(b"")))[1:],
                       f"http://{shared.target}{CHECK}")
    assert facts[0]["http_version"] == "2"


def test_the_end_of_the_server_closes_idle_connections(espd: Espd):
    with socket.create_connection(("127.0.0.1", espd.port), 30) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert idle.recv(65_536).startswith(b"HTTP/1.1 404 ")
        with socket.create_connection(("127.0.0.1", espd.port), 30) as silent:
            espd.terminate()
            assert idle.recv(65_536) == b""
            assert silent.recv(65_536) == b""
            assert espd.wait() == 0


# TLS.


def test_tls_offers_both_versions(make_espd: Callable[..., Espd], curl: Curl):
    certificates = Certificates(curl.folder / "tls")
    port = free_port()
    espd = make_espd(**certificates.settings(f"127.0.0.1:{port}")).start()
    trusted = ("--cacert", certificates.certificate("ca"))
    body = curl.body(frame(b""))
    url = f"https://127.0.0.1:{port}{CHECK}"
    for version, options in (("1.1", ["--http1.1"]), ("2", ["--http2"]), ("1.1", ["--no-alpn", "--http1.1"])):
        facts = curl.facts(*trusted, *options, *call_of(body)[1:], url, url, count=2)
        assert [(fact["http_code"], fact["http_version"]) for fact in facts] == [(200, version)] * 2
        assert [fact["num_connects"] for fact in facts] == [1, 0]
        assert curl(*trusted, *options, *call_of(body)[1:], url).stdout == CHECKED + OK_TRAILERS
    # Nothing but the certificate's authority is trusted, as everywhere.
    curl(*call_of(body), url, code=60)
    espd.stop()


# CORS.


def test_origins_are_judged_by_the_setting(make_espd: Callable[..., Espd], curl: Curl):
    espd = make_espd(ESP_CORS_ORIGINS=f"{ORIGIN}, http://localhost:3000").start()
    url = f"http://{espd.target}{CHECK}"

    def preflight(origin: str) -> str:
        return curl("--http1.1", "--include", "--request", "OPTIONS", "--header", f"origin: {origin}", "--header",
                    "access-control-request-method: POST", "--header",
                    "access-control-request-headers: content-type,x-grpc-web", url).stdout.decode()

    def call(origin: str) -> str:
        body = curl.body(base64.b64encode(frame(b"")))
        return curl(*call_of(body, TEXT), "--include", "--header", f"origin: {origin}", url).stdout.decode()

    for origin in (ORIGIN, "http://localhost:3000"):
        assert preflight(origin).startswith("HTTP/1.1 204 ")
        assert f"access-control-allow-origin: {origin}\r\n" in preflight(origin)
        assert "access-control-allow-headers: content-type,x-grpc-web\r\n" in preflight(origin)
        assert f"access-control-allow-origin: {origin}\r\n" in call(origin)
    for origin in ("https://desk.example.evil", "http://desk.example", "null"):
        assert preflight(origin).startswith("HTTP/1.1 403 ")
        assert "access-control-allow" not in preflight(origin) + call(origin)
    espd.stop()


def test_without_the_setting_no_origin_may(shared: Espd, curl: Curl):
    answer = curl("--http1.1", "--include", "--request", "OPTIONS", "--header", f"origin: {ORIGIN}", "--header",
                  "access-control-request-method: POST", f"http://{shared.target}{CHECK}").stdout
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"access-control" not in answer
