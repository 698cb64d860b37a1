"""Frames by hand: what a client may and may not send (RFC 9113, RFC 7541), and a connection that judges the answer.

Requests are written field by field and encoded without hpack's encoder, so that anything can be sent; what the server
sends is taken apart by `hyperframe` and `hpack`, which share no line with it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import hpack
from hyperframe import frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TIMEOUT = 20.0
"""Seconds until what must come has come, on a busy machine."""

# RFC 9113, 6 and 7.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY_FLAG = 0x4, 0x8, 0x20
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
LARGEST = 2**31 - 1
"""The largest stream identifier, and the largest window."""

Field = tuple[bytes, bytes]

CHECK: list[Field] = [
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/grpc.health.v1.Health/Check"),
    (b":authority", b"conformance"), (b"content-type", b"application/grpc"), (b"te", b"trailers"),
]
"""A request that is answered as soon as its body has ended."""
WATCH = [(name, b"/grpc.health.v1.Health/Watch" if name == b":path" else value) for name, value in CHECK]
"""A request whose answer does not end."""
EMPTY_MESSAGE = bytes(5)
"""A gRPC message of no bytes: the body of both."""


# Frames.

def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """Any frame, true or not (4.1)."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def headers(stream: int, fields: Iterable[Field] = CHECK, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, block(fields))


def data(stream: int, payload: bytes = EMPTY_MESSAGE, flags: int = END_STREAM) -> bytes:
    return frame(DATA, flags, stream, payload)


def request(stream: int, fields: Iterable[Field] = CHECK) -> bytes:
    """A whole request."""
    return headers(stream, fields) + data(stream)


def trailers(stream: int, fields: Iterable[Field] = ((b"x-trailer", b"1"),), flags: int = END_STREAM) -> bytes:
    return headers(stream, fields, END_HEADERS | flags)


def settings(*pairs: tuple[int, int], flags: int = 0, stream: int = 0) -> bytes:
    return frame(SETTINGS, flags, stream, b"".join(u16(name) + u32(value) for name, value in pairs))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, u32(increment))


def ping(payload: bytes = b"8 bytes.", flags: int = 0) -> bytes:
    return frame(PING, flags, 0, payload)


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


# Header blocks (RFC 7541, 5 and 6).

def integer(value: int, prefix_bits: int, pattern: int = 0) -> bytes:
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([pattern | value])
    encoded, rest = bytearray([pattern | limit]), value - limit
    while rest >= 128:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    return bytes(encoded) + bytes([rest])


def string(text: bytes) -> bytes:
    return integer(len(text), 7) + text


def literal(name: bytes, value: bytes) -> bytes:
    """Literal without indexing: leaves the server's table as it was."""
    return b"\x00" + string(name) + string(value)


def indexed_literal(name: bytes, value: bytes) -> bytes:
    """Literal with incremental indexing: becomes entry 62 of the server's table."""
    return b"\x40" + string(name) + string(value)


def indexed(index: int) -> bytes:
    return integer(index, 7, 0x80)


def table_size(size: int) -> bytes:
    return integer(size, 5, 0x20)


def block(fields: Iterable[Field]) -> bytes:
    return b"".join(literal(name, value) for name, value in fields)


# Requests with one thing changed.

def replaced(name: bytes, value: bytes, fields: Iterable[Field] = CHECK) -> list[Field]:
    return [(key, value if key == name else old) for key, old in fields]


def without(*names: bytes) -> list[Field]:
    return [(name, value) for name, value in CHECK if name not in names]


def also(*more: Field) -> list[Field]:
    """With fields behind."""
    return [*CHECK, *more]


def before(*more: Field) -> list[Field]:
    """With fields in front."""
    return [*more, *CHECK]


# What comes back.

@dataclass(slots=True)
class Answer:
    """What came on one stream."""

    blocks: list[dict[str, str]] = field(default_factory=list)
    """Head, then trailers; an answer without body has one for both."""
    body: bytes = b""
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> str:
        return self.blocks[0][":status"]

    @property
    def grpc_status(self) -> str | None:
        return self.blocks[-1].get("grpc-status")

    @property
    def grpc_message(self) -> str:
        return self.blocks[-1].get("grpc-message", "")


class Connection:
    """One connection; sends what it is told to, and keeps what comes."""

    def __init__(self, port: int, *, greeting: bytes | None = PREFACE + settings(), is_cut: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_cut = is_cut
        """Bytes are sent in many small pieces: nothing may hang on where reads end."""
        self.input = b""
        self.received: list[frames.Frame] = []
        self.answers: dict[int, Answer] = {}
        self.decoder = hpack.Decoder()
        self.pending_block = b""
        self.goaway: frames.GoAwayFrame | None = None
        self.is_closed = False
        self.was_reset = False
        if greeting is not None:
            self.send(greeting)
            self.until(lambda: self.count(frames.SettingsFrame) > 1, "SETTINGS of the server and its ACK of ours")
            self.send(settings(flags=ACK))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        whole = b"".join(parts)
        size = max(1, len(whole) // 64) if self.is_cut else max(1, len(whole))
        try:
            for start in range(0, len(whole), size):
                self.socket.sendall(whole[start:start + size])
        except ConnectionError:
            # The server has judged before the last piece; its words are still to be read.
            self.was_reset = True

    def count(self, kind: type[frames.Frame]) -> int:
        return sum(isinstance(each, kind) for each in self.received)

    def until(self, condition, what: str, timeout: float = TIMEOUT) -> None:
        """Reads until something is true, which must come."""
        end = time.monotonic() + timeout
        while not condition():
            assert not self.is_closed, f"closed, {self.goaway}, before {what}; received {self.received}"
            assert time.monotonic() < end, f"not within {timeout} s: {what}; received {self.received}"
            self.read(end - time.monotonic())

    def read(self, timeout: float) -> None:
        self.socket.settimeout(max(timeout, 0.001))
        try:
            piece = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        except ConnectionError:
            piece, self.was_reset = b"", True
        self.is_closed = not piece
        self.input += piece
        while len(self.input) >= 9:
            parsed, size = frames.Frame.parse_frame_header(memoryview(self.input[:9]))
            if len(self.input) < 9 + size:
                return
            parsed.parse_body(memoryview(self.input[9:9 + size]))
            self.input = self.input[9 + size:]
            self.take(parsed)

    def take(self, came: frames.Frame) -> None:
        # A server may push only what a client has asked for, and we never do; nor does it open streams.
        assert not isinstance(came, frames.PushPromiseFrame), came
        assert came.stream_id == 0 or came.stream_id % 2 == 1, came
        self.received.append(came)
        answer = self.answers.setdefault(came.stream_id, Answer())
        match came:
            case frames.HeadersFrame() | frames.ContinuationFrame():
                self.pending_block += came.data
                if "END_HEADERS" in came.flags:
                    answer.blocks.append(self.decoded(answer))
            case frames.DataFrame():
                answer.body += came.data
            case frames.RstStreamFrame():
                answer.reset = came.error_code
            case frames.GoAwayFrame():
                self.goaway = came
        answer.ended |= "END_STREAM" in came.flags or answer.reset is not None

    def decoded(self, answer: Answer) -> dict[str, str]:
        """A block of the server, which keeps the rules of 8.2 and 8.3 itself."""
        fields = self.decoder.decode(self.pending_block)
        self.pending_block = b""
        names = [name for name, _ in fields]
        assert [name for name in names if name.startswith(":")] == ([] if answer.blocks else [":status"]), fields
        assert answer.blocks or names[0] == ":status", fields
        assert all(name == name.lower() for name in names), fields
        assert not {"connection", "transfer-encoding", "keep-alive", "upgrade"} & set(names), fields
        return dict(fields)

    def answer(self, stream: int) -> Answer:
        """Waits until the stream has ended."""
        self.until(lambda: stream in self.answers and self.answers[stream].ended, f"the end of stream {stream}")
        return self.answers[stream]

    def assert_serves(self, stream: int = 0x10001) -> None:
        """A new request is answered: the connection is whole."""
        self.send(request(stream))
        answer = self.answer(stream)
        assert (answer.status, answer.grpc_status, answer.reset) == ("200", "0", None), answer
        assert self.goaway is None, self.goaway
