"""What the end of a call means for the next one: when to try again, and when not."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, duration_pb2, empty_pb2
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from espclient.errors import Refused, TakenOver

PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailer in which an overloaded server says after how many milliseconds to come back."""

_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


@dataclass(slots=True)
class Backoff:
    """Waits that grow from `first` to `longest` seconds, each up to a half shorter at random."""

    first: float = 0.1
    longest: float = 5.0
    random: random.Random = field(default_factory=random.Random)
    _next: float = 0.0

    def reset(self) -> None:
        """Things work again: the next wait is short."""
        self._next = 0.0

    def next_wait(self) -> float:
        """Seconds to wait now."""
        self._next = min(max(self.first, self._next * 2), self.longest)
        return self._next * self.random.uniform(0.5, 1.0)


def wait_asked_for(error: grpc.RpcError) -> float:
    """Seconds that the server asks to wait at least; 0 when it does not say. Raises when another
    try is in vain.
    """
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.ABORTED:
        raise TakenOver(f"another stream of this producer has taken over: {details}")
    if code in _FINAL:
        raise Refused(code.name, details)
    pushback = _pushback(error)
    if pushback is None:
        pushback = _retry_info(error)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and (pushback is None or pushback < 0):
        # A message over a limit stays over it; an overloaded server says when to come back.
        raise Refused(code.name, details)
    return max(pushback or 0.0, 0.0)


def _retry_info(error: grpc.RpcError) -> float | None:
    """Seconds of the `google.rpc.RetryInfo` in the error's `google.rpc.Status`; None when there is
    none.
    """
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        with contextlib.suppress(DecodeError):
            for detail in map(any_pb2.Any.FromString, _fields(value, 3)):
                if detail.type_url.endswith("/google.rpc.RetryInfo"):
                    delays = map(duration_pb2.Duration.FromString, _fields(detail.value, 1))
                    return sum(delay.ToTimedelta().total_seconds() for delay in delays)
    return None


def _fields(encoded: bytes, number: int) -> list[bytes]:
    """The values of a field of a message whose type this package does not have."""
    unknown = UnknownFieldSet(empty_pb2.Empty.FromString(encoded))
    return [each.data for each in unknown if each.field_number == number]


def _pushback(error: grpc.RpcError) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == PUSHBACK_KEY:
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0  # Not a number means: do not retry (gRPC A6).
    return None
