"""Floods of frames, headers, half-done handshakes: each ends by a limit, costs bounded memory, and others are served.

50,000 resets and 10,000 cancelled calls in full (ESP_TEST_FULL=1), a tenth by default.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from espclient.channel import open_channel
from espclient.protocol import admin_pb2, admin_pb2_grpc
from espclient.protocol import telemetry_pb2 as pb

from certificates import Certificates
from espd_process import Espd, free_port, wait_for
from frames import (
    CONTINUATION, EMPTY_CALL, END_HEADERS, FULL_DUPLEX_CALL, HEADERS, RESET, UNARY_CALL, Attacker, fields, frame,
    is_served, message,
)
from interop_server import InteropServer
from wire import INGEST_STREAM, Wire

WATCH = "/grpc.health.v1.Health/Watch"

MEMORY_LEAK = 5 << 20
"""Bytes that resident memory may be more than before an attack, once it is over."""


def settle(interop: InteropServer) -> None:
    """What a first use costs once."""
    for _ in range(3):
        is_served(interop.port)
    with Attacker(interop.port) as client:
        for _ in range(300):
            client.send(frame(RESET, 0, client.open(UNARY_CALL), bytes([0, 0, 0, 8])))
        client.ping()


def returns_to(interop: InteropServer, before: int) -> None:
    wait_for(lambda: interop.memory("VmRSS") < before + MEMORY_LEAK, f"resident memory is back at {before >> 10} KiB")


def test_50000_resets_end_in_a_limit_and_leave_nothing(interop: InteropServer, is_full: bool):
    settle(interop)
    before = interop.memory("VmRSS")
    total, sent = 50_000 if is_full else 12_000, 0
    while sent < total:
        with Attacker(interop.port) as attacker:
            while sent < total and not attacker.is_closed:
                flood = b""
                for _ in range(100):
                    stream, attacker.next_stream = attacker.next_stream, attacker.next_stream + 2
                    flood += frame(HEADERS, END_HEADERS, stream, fields(UNARY_CALL))
                    flood += frame(RESET, 0, stream, bytes([0, 0, 0, 8]))
                attacker.send(flood)
                sent += 100
        is_served(interop.port)
    returns_to(interop, before)


def test_one_connection_is_not_allowed_all_of_them(interop: InteropServer):
    """10,000 at once and 1,000 a second: HTTP2Limits."""
    with Attacker(interop.port) as attacker:
        for _ in range(300):
            flood = b""
            for _ in range(100):
                stream, attacker.next_stream = attacker.next_stream, attacker.next_stream + 2
                flood += frame(HEADERS, END_HEADERS, stream, fields(UNARY_CALL))
                flood += frame(RESET, 0, stream, bytes([0, 0, 0, 8]))
            if not attacker.send(flood):
                break
        attacker.until_closed()
    is_served(interop.port)


@pytest.mark.parametrize("path", [UNARY_CALL, FULL_DUPLEX_CALL])
def test_10000_cancelled_calls_leak_nothing(interop: InteropServer, is_full: bool, path: str):
    """Cancelled in the middle of a message, of which a kilobyte has come."""
    settle(interop)
    with Attacker(interop.port) as client:
        def cancel(count: int) -> None:
            for index in range(count):
                stream = client.open(path)
                client.data(stream, message(bytes(1000), claimed=100_000))
                client.send(frame(RESET, 0, stream, bytes([0, 0, 0, 8])))
                if index % 100 == 99:
                    client.ping()

        cancel(300)
        before = interop.memory("VmRSS")
        cancel(9_000 if is_full else 2000)
        returns_to(interop, before)
    is_served(interop.port)


def test_10000_cancelled_streams_leave_no_call_behind(make_espd: Callable[..., Espd], is_full: bool):
    """Calls that live until they are cancelled, and the server's own count of them."""
    espd = make_espd().start()
    opening = message(pb.IngestStreamRequest(open=pb.OpenStream(producer_id="cancelled")).SerializeToString())

    def open_calls() -> int:
        with open_channel(espd.target) as channel:
            info = admin_pb2_grpc.AdminServiceStub(channel).GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=20)
            return info.open_streams

    with Attacker(espd.port) as client:
        def cancel(count: int) -> None:
            for index in range(count):
                stream = client.open(WATCH if index % 2 else INGEST_STREAM)
                client.data(stream, message(b"") if index % 2 else opening)
                client.send(frame(RESET, 0, stream, bytes([0, 0, 0, 8])))
                if index % 100 == 99:
                    client.ping()
                    # As fast as one connection may: HTTP2Limits.streamResetsPerSecond.
                    time.sleep(0.1)

        cancel(300)
        before = espd.resident_bytes
        cancel(9_000 if is_full else 1000)
        wait_for(lambda: open_calls() == 0, "no call is left")
        wait_for(lambda: espd.resident_bytes < before + MEMORY_LEAK, f"resident memory is back at {before >> 10} KiB")
    espd.stop()


def test_a_continuation_flood_ends_the_connection(interop: InteropServer):
    settle(interop)
    before = interop.memory("VmRSS")
    for payload in (b"", literal_junk()):
        with Attacker(interop.port) as attacker:
            attacker.send(frame(HEADERS, 0, 1, fields(UNARY_CALL)))
            for _ in range(10_000):
                if not attacker.send(frame(CONTINUATION, 0, 1, payload)):
                    break
            attacker.until_closed()
        is_served(interop.port)
    returns_to(interop, before)


def literal_junk() -> bytes:
    return b"\0\1x\xe0" + b"y" * 0x60


@pytest.mark.parametrize(("byte_count", "status"), [(9 << 10, 200), (63 << 10, 431)])
def test_large_headers_cost_their_call_at_most(interop: InteropServer, byte_count: int, status: int):
    with Wire(interop.port) as wire:
        half = byte_count // 2
        stream = wire.open(EMPTY_CALL, x_one="a" * half, x_two="b" * (byte_count - half))
        wire.send(stream, message(b""), end=True)
        assert wire.answer(stream).http == status
        answer = wire.call(EMPTY_CALL, message(b""))
        assert answer.code == 0


@pytest.mark.parametrize("path", [UNARY_CALL, FULL_DUPLEX_CALL])
def test_a_claim_of_4_gib_is_refused_by_its_prefix_without_advice_to_try_again(interop: InteropServer, path: str):
    settle(interop)
    before = interop.memory("VmRSS")
    with Wire(interop.port) as wire:
        for _ in range(100):
            stream = wire.open(path)
            wire.send(stream, message(b"", claimed=0xFFFF_FFFF))
            answer = wire.answer(stream)
            assert answer.code == 8
            assert "4294967295" in answer.message
            assert "grpc-retry-pushback-ms" not in answer.fields
    returns_to(interop, before)


@pytest.mark.parametrize("greeting", [b"", b"PRI * HTTP/2.0\r\n", b"\x16\x03\x01"])
@pytest.mark.parametrize("tls", [False, True])
def test_handshakes_that_never_end_are_cut(make_espd: Callable[..., Espd], tls: bool, greeting: bytes):
    settings = {"ESP_HANDSHAKE_TIMEOUT_SECONDS": "1"}
    port = None
    espd = make_espd()
    if tls:
        port = free_port()
        settings |= Certificates(espd.folder / "certificates").settings(f"127.0.0.1:{port}")
    espd.settings = settings
    espd.start()
    files = espd.file_count
    sockets = [socket.create_connection(("127.0.0.1", port or espd.port)) for _ in range(100)]
    begin = time.monotonic()
    for held in sockets:
        held.settimeout(30)
        try:
            held.sendall(greeting)
            while held.recv(4096):
                pass
        except ConnectionError:
            pass
        held.close()
    assert time.monotonic() - begin < 25
    # The server opens a few files of its own meanwhile.
    wait_for(lambda: espd.file_count < files + 50, "their sockets are closed")
    is_served(espd.port, "/grpc.health.v1.Health/Check")
    espd.stop()
