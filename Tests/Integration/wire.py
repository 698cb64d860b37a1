"""HTTP/2 by hand: requests that no gRPC client would send, over one connection that must survive them."""

from __future__ import annotations

import base64
import socket
import time
from dataclasses import dataclass, field
from typing import Self, TypeVar
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
from google.protobuf.message import Message
from google.rpc import status_pb2

Kind = TypeVar("Kind", bound=Message)

TIMEOUT = 20.0
"""Seconds until an answer has come."""

GOAWAY = 7
"""Type of a frame."""

INGEST = "/esp.v1.TelemetryService/Ingest"
INGEST_READING = "/esp.v1.TelemetryService/IngestReading"
INGEST_STREAM = "/esp.v1.TelemetryService/IngestStream"
CHECK = "/grpc.health.v1.Health/Check"


def frame(message: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix, true or not."""
    return bytes([flag]) + (len(message) if length is None else length).to_bytes(4, "big") + message


def details(status: status_pb2.Status, kind: type[Kind]) -> list[Kind]:
    """The details of one type that a status carries."""
    return [unpacked for detail in status.details if detail.Unpack(unpacked := kind())]


@dataclass(slots=True)
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: int | None = None
    """Error code of an RST_STREAM."""
    ended: bool = False

    @property
    def http(self) -> int:
        return int(self.headers[":status"])

    @property
    def fields(self) -> dict[str, str]:
        """Where the status is: the trailers, or the headers when nothing else came."""
        return self.trailers or self.headers

    @property
    def code(self) -> int:
        return int(self.fields["grpc-status"])

    @property
    def message(self) -> str:
        return unquote(self.fields.get("grpc-message", ""))

    @property
    def status(self) -> status_pb2.Status:
        """The google.rpc.Status of an error; its code and message are those of the plain fields."""
        text = self.fields["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
        assert (status.code, status.message) == (self.code, self.message)
        return status

    def messages(self) -> list[bytes]:
        found, rest = [], self.body
        while rest:
            end = 5 + int.from_bytes(rest[1:5], "big")
            found.append(rest[5:end])
            rest = rest[end:]
        return found


class Wire:
    """One HTTP/2 connection. Settings, pings and windows are taken care of; everything else is the caller's."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), TIMEOUT)
        # Nothing is checked on the way out: what is wrong must reach the server.
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False))
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        """Error code of the last GOAWAY."""
        self.last_stream: int | None = None
        """The last stream that it promises to answer."""
        self.is_closed = False
        self._input = b""
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def open(self, path: str, *, method: str = "POST", end: bool = False, **fields: str | None) -> int:
        """Sends the head of a request; a field is dropped when it is None."""
        headers = {"content-type": "application/grpc", "te": "trailers"}
        headers |= {name.replace("_", "-"): value for name, value in fields.items()}
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, [
            (":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            *((name, value) for name, value in headers.items() if value is not None)], end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends data as far as the windows go, waiting for them; less when an answer comes first."""
        while data and not self.answers[stream].ended:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if room:
                self.h2.send_data(stream, data[:room])
                data = data[room:]
                self.flush()
            else:
                self.receive()
        if end and not self.answers[stream].ended:
            self.h2.end_stream(stream)
            self.flush()

    def reset(self, stream: int) -> None:
        self.h2.reset_stream(stream, 8)
        self.flush()

    def answer(self, stream: int, timeout: float = TIMEOUT) -> Answer:
        """Waits until the stream has ended."""
        self.receive_until(lambda: self.answers[stream].ended, timeout)
        return self.answers[stream]

    def call(self, path: str, body: bytes, **fields: str | None) -> Answer:
        """A whole request and its answer."""
        stream = self.open(path, **fields)
        self.send(stream, body, end=True)
        return self.answer(stream)

    def receive_until(self, condition: object, timeout: float = TIMEOUT) -> None:
        until = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < until, "no answer in time"
            assert not self.is_closed, f"the server closed the connection, GOAWAY {self.goaway}"
            self.receive(until - time.monotonic())

    def receive(self, timeout: float = TIMEOUT) -> None:
        """Takes what comes next."""
        self.socket.settimeout(max(timeout, 0.001))
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.is_closed = True
            return
        self._input += data
        for event in self.h2.receive_data(self._frames()):
            self._take(event)
        self.flush()

    def _frames(self) -> bytes:
        """Whole frames, without GOAWAY: h2 takes that for the end of the connection, but open streams go on."""
        kept = b""
        while len(self._input) >= 9 and len(self._input) >= (end := 9 + int.from_bytes(self._input[:3], "big")):
            frame, self._input = self._input[:end], self._input[end:]
            if frame[3] == GOAWAY:
                self.goaway = int.from_bytes(frame[13:17], "big")
                self.last_stream = int.from_bytes(frame[9:13], "big")
            else:
                kept += frame
        return kept

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.is_closed:
            try:
                self.socket.settimeout(TIMEOUT)
                self.socket.sendall(data)
            except ConnectionError:
                self.is_closed = True

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.answers[event.stream_id].headers = text(event.headers)
            case h2.events.TrailersReceived():
                self.answers[event.stream_id].trailers = text(event.headers)
            case h2.events.DataReceived():
                self.answers[event.stream_id].body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.answers[event.stream_id].reset = int(event.error_code)
                self.answers[event.stream_id].ended = True
            case _:
                pass


def text(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {_str(name): _str(value) for name, value in headers}


def _str(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
