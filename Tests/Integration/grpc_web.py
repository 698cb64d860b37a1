"""gRPC-Web by its specification alone: a client of a few lines that shares nothing with the server or others."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from google.rpc import status_pb2

from wire import Wire, frame

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"
TYPES = ("application/grpc-web", BINARY, "application/grpc-web-text", TEXT)

TRAILERS = 0x80
"""Flag of the last frame."""


def is_text(content_type: str) -> bool:
    return "-text" in content_type


def encode(body: bytes, content_type: str) -> bytes:
    return base64.b64encode(body) if is_text(content_type) else body


class Reader:
    """Takes a body as it comes, cut anywhere, and gives its frames."""

    def __init__(self, content_type: str) -> None:
        self._is_text = is_text(content_type)
        self._digits = b""
        self._bytes = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        if self._is_text:
            self._digits += data
            whole = len(self._digits) // 4 * 4
            # Each group alone: padding may stand in any of them.
            data = b"".join(base64.b64decode(self._digits[at:at + 4], validate=True) for at in range(0, whole, 4))
            self._digits = self._digits[whole:]
        self._bytes += data
        while len(self._bytes) >= 5 and len(self._bytes) >= (end := 5 + int.from_bytes(self._bytes[1:5], "big")):
            yield self._bytes[0], self._bytes[5:end]
            self._bytes = self._bytes[end:]

    @property
    def is_empty(self) -> bool:
        return not self._digits and not self._bytes


@dataclass(slots=True)
class WebAnswer:
    """A whole answer."""

    http: int
    headers: dict[str, str]
    messages: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        return int(self.trailers["grpc-status"])

    @property
    def message(self) -> str:
        return unquote(self.trailers.get("grpc-message", ""))

    @property
    def status(self) -> status_pb2.Status:
        text = self.trailers["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
        assert (status.code, status.message) == (self.code, self.message)
        return status

    @classmethod
    def parse(cls, status: int, headers: dict[str, str], body: bytes, content_type: str) -> Self:
        """Of a call that was answered as one."""
        answer = cls(status, headers)
        assert (status, headers["content-type"]) == (200, content_type), (answer, body)
        assert "grpc-status" not in headers, "the status stands in one place"
        reader, frames = Reader(content_type), []
        frames.extend(reader.feed(body))
        assert reader.is_empty, "a frame is cut"
        assert [flag for flag, _ in frames if flag & TRAILERS] == [TRAILERS] and frames[-1][0] == TRAILERS, frames
        answer.messages = [message for _, message in frames[:-1]]
        answer.trailers = parse_trailers(frames[-1][1])
        return answer


def parse_trailers(block: bytes) -> dict[str, str]:
    *lines, last = block.decode().split("\r\n")
    assert last == "" and all(line.partition(":")[0] == line.partition(":")[0].lower() for line in lines), block
    return dict(line.split(": ", 1) for line in lines)


def request_headers(content_type: str, fields: dict[str, str]) -> dict[str, str]:
    return {"content-type": content_type, "x-grpc-web": "1"} | {
        name.replace("_", "-"): value for name, value in fields.items()}


def call_http1(connection: http.client.HTTPConnection, path: str, message: bytes | Iterable[bytes], content_type: str,
               *, flag: int = 0, **fields: str) -> WebAnswer:
    """One call over HTTP/1.1. `message`: one, framed here; or the pieces of a body as they are, sent as chunks."""
    is_one = isinstance(message, bytes)
    body = encode(frame(message, flag=flag), content_type) if is_one else message
    connection.request("POST", path, body, request_headers(content_type, fields), encode_chunked=not is_one)
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return WebAnswer.parse(response.status, headers, response.read(), content_type)


def call_http2(wire: Wire, path: str, message: bytes, content_type: str, *, flag: int = 0,
               **fields: str) -> WebAnswer:
    """One call over HTTP/2."""
    headers = request_headers(content_type, fields)
    answer = wire.call(path, encode(frame(message, flag=flag), content_type), te=None, **headers)
    assert answer.trailers == {}, "a browser would not show them"
    return WebAnswer.parse(answer.http, answer.headers, answer.body, content_type)
