"""Compressed messages over a real connection, sent by nghttp, which knows nothing of gRPC."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from interop_server import InteropServer

pytestmark = [
    pytest.mark.skipif(shutil.which("nghttp") is None, reason="nghttp is missing: apt-get install nghttp2-client"),
    pytest.mark.timeout(120),
]

MESSAGE_LIMIT = 4 << 20
"""Bytes; RPCLimits.maximumMessageBytes."""


def deflated_zeros(byte_count: int, window_bits: int) -> bytes:
    """Zeros, compressed; the file that they would be never exists."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    piece = bytes(1 << 20)
    packed = b"".join(compressor.compress(piece) for _ in range(byte_count >> 20))
    return packed + compressor.flush()


def call(server: InteropServer, folder: Path, message: bytes, *headers: str, flag: int = 1) -> str:
    """What nghttp says about the answer, with all its fields."""
    body = folder / "body"
    body.write_bytes(struct.pack(">BI", flag, len(message)) + message)
    fields = [part for header in ("content-type: application/grpc", "te: trailers", *headers) for part in ("-H", header)]
    url = f"http://127.0.0.1:{server.port}/grpc.testing.TestService/UnaryCall"
    return subprocess.run(["nghttp", "-nv", "-d", body, *fields, "-H", ":method: POST", url], capture_output=True,
                          text=True, check=True).stdout


@pytest.mark.parametrize(("encoding", "window_bits"), [("gzip", 31), ("deflate", 15)])
def test_a_bomb_of_a_gigabyte_costs_the_limit_and_a_status(tmp_path: Path, encoding: str, window_bits: int):
    bomb = deflated_zeros(1 << 30, window_bits)
    assert len(bomb) < 1_100_000
    with InteropServer("--event-loops", "1") as server:
        call(server, tmp_path, b"", flag=0)
        before = server.memory("VmRSS")
        for _ in range(5):
            answer = call(server, tmp_path, bomb, f"grpc-encoding: {encoding}")
            assert "grpc-status: 8" in answer
            assert f"limit of {MESSAGE_LIMIT} bytes" in answer
        # What it was inflated to, and what came: in the body as it grew, in zlib and in the buffers of the connection.
        growth = server.memory("VmHWM") - before
        print(f"{growth >> 10} KiB")
        assert growth < MESSAGE_LIMIT + (4 << 20)
        assert "grpc-status: 0" in call(server, tmp_path, b"", flag=0)


def test_an_encoding_that_is_not_spoken_is_refused_with_those_that_are(tmp_path: Path):
    with InteropServer() as server:
        answer = call(server, tmp_path, b"", "grpc-encoding: snappy")
        assert "grpc-status: 12" in answer
        assert "grpc-accept-encoding: identity,gzip,deflate" in answer


def test_a_flag_without_an_encoding_is_internal(tmp_path: Path):
    with InteropServer() as server:
        assert "grpc-status: 13" in call(server, tmp_path, b"x")


def test_bytes_of_another_encoding_are_internal(tmp_path: Path):
    with InteropServer() as server:
        message = deflated_zeros(1 << 20, 15)
        assert "grpc-status: 13" in call(server, tmp_path, message, "grpc-encoding: gzip")
