"""HTTP/2 frames written by hand, as fast as Python goes: what a flood is made of. No state but the socket's."""

from __future__ import annotations

import socket
import struct
import time
from typing import Self

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + bytes([SETTINGS, 0, 0, 0, 0, 0])
TIMEOUT = 30.0
"""Seconds until an answer has come."""

UNARY_CALL = "/grpc.testing.TestService/UnaryCall"
EMPTY_CALL = "/grpc.testing.TestService/EmptyCall"
FULL_DUPLEX_CALL = "/grpc.testing.TestService/FullDuplexCall"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """A field without indexing (RFC 7541 6.2.2), no Huffman."""
    return b"\0" + _length(len(name)) + name.encode() + _length(len(value)) + value.encode()


def _length(count: int) -> bytes:
    if count < 127:
        return bytes([count])
    rest, out = count - 127, bytearray([127])
    while rest >= 128:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes(out) + bytes([rest])


def fields(path: str, **more: str) -> bytes:
    all_fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "t",
                  "content-type": "application/grpc", "te": "trailers"} | more
    return b"".join(literal(name, value) for name, value in all_fields.items())


def message(body: bytes, *, claimed: int | None = None) -> bytes:
    return b"\0" + struct.pack(">I", len(body) if claimed is None else claimed) + body


class Attacker:
    """One connection. What the server sends is read only when asked for."""

    def __init__(self, port: int, *, greets: bool = True, windows: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.is_closed = False
        self.next_stream = 1
        if greets:
            self.send(GREETING + frame(SETTINGS, ACK, 0))
            if windows:
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """False when the server has closed."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_closed = True
        return not self.is_closed

    def send_what_fits(self, data: bytes) -> int:
        """Sends without waiting; the count of what went."""
        self.socket.settimeout(0)
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.is_closed = True
            return 0
        finally:
            self.socket.settimeout(TIMEOUT)

    def open(self, path: str, *, end: bool = False, **more: str) -> int:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, fields(path, **more)))
        return stream

    def data(self, stream: int, body: bytes, *, end: bool = False) -> None:
        pieces = [body[at:at + 16_384] for at in range(0, len(body), 16_384)] or [b""]
        self.send(b"".join(
            frame(DATA, END_STREAM if end and index == len(pieces) - 1 else 0, stream, piece)
            for index, piece in enumerate(pieces)))

    def next(self, timeout: float = TIMEOUT) -> tuple[int, int, int, bytes] | None:
        """Kind, flags, stream and payload of the next frame; None when the server has closed."""
        until = time.monotonic() + timeout
        while True:
            if len(self.buffer) >= 9 and len(self.buffer) >= (end := 9 + int.from_bytes(self.buffer[:3], "big")):
                head, payload = self.buffer[:9], self.buffer[9:end]
                self.buffer = self.buffer[end:]
                return head[3], head[4], int.from_bytes(head[5:9], "big"), payload
            self.socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                more = self.socket.recv(1 << 16)
            except TimeoutError:
                raise AssertionError(f"nothing came in {timeout} s") from None
            except OSError:
                more = b""
            if not more:
                self.is_closed = True
                return None
            self.buffer += more

    def until_end(self, stream: int, timeout: float = TIMEOUT) -> bytes:
        """The payload of the HEADERS that end a stream: its status is in it, in plain or Huffman bytes."""
        while (found := self.next(timeout)) is not None:
            kind, flags, of, payload = found
            if kind == HEADERS and of == stream and flags & END_STREAM:
                return payload
            if kind == RESET and of == stream:
                raise AssertionError(f"reset with {int.from_bytes(payload, 'big')}")
        raise AssertionError("the server closed the connection")

    def until_closed(self, timeout: float = TIMEOUT) -> int | None:
        """The error code of the GOAWAY that came before the end, if one did."""
        code = None
        while (found := self.next(timeout)) is not None:
            if found[0] == GOAWAY:
                code = int.from_bytes(found[3][4:8], "big")
        return code

    def ping(self) -> None:
        """Returns when all that was sent has been processed."""
        self.send(frame(PING, 0, 0, b"attacker"))
        while (found := self.next()) is not None:
            if found[0] == PING and found[1] & ACK and found[3] == b"attacker":
                return
        raise AssertionError("the server closed the connection")


def is_served(port: int, path: str = EMPTY_CALL) -> None:
    """A new client gets its answer."""
    with Attacker(port) as client:
        stream = client.open(path)
        client.data(stream, message(b""), end=True)
        client.until_end(stream)
