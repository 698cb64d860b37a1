"""The three ways in which a server answers what it is sent, and the rule that says which (RFC 9113, 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pytest

from http2 import Answer, Connection

Step = bytes | Callable[[Connection], None]


class Verdict(Protocol):
    def judge(self, connection: Connection) -> None: ...


@dataclass(frozen=True, slots=True)
class Ends:
    """A connection error (5.4.1): GOAWAY with one of these codes, and the connection is closed."""

    codes: tuple[int, ...]

    def judge(self, connection: Connection) -> None:
        try:
            connection.until(lambda: connection.is_closed, "the end of the connection")
        finally:
            connection.socket.close()
        # A reset overtakes what the server said when we were still sending: only then may it be missing.
        if connection.goaway is None and connection.is_cut and connection.was_reset:
            return
        assert connection.goaway is not None, f"closed without GOAWAY; received {connection.received}"
        assert connection.goaway.error_code in self.codes, connection.goaway


@dataclass(frozen=True, slots=True)
class Resets:
    """A stream error (5.4.2): RST_STREAM with one of these codes; the connection lives."""

    codes: tuple[int, ...]
    stream: int = 1

    def judge(self, connection: Connection) -> None:
        answer = connection.answer(self.stream)
        assert answer.reset in self.codes, answer
        connection.assert_serves()


@dataclass(frozen=True, slots=True)
class ResetsOrEnds:
    """Either: a server may take an error of a stream for one of the connection (5.4.1)."""

    codes: tuple[int, ...]

    def judge(self, connection: Connection) -> None:
        connection.until(lambda: connection.goaway or connection.is_closed
                         or 1 in connection.answers and connection.answers[1].reset is not None, "an error")
        is_stream = connection.goaway is None and not connection.is_closed
        (Resets(self.codes) if is_stream else Ends(self.codes)).judge(connection)


@dataclass(frozen=True, slots=True)
class Serves:
    """No error: the streams named are answered, each with gRPC's OK, and the connection lives."""

    streams: tuple[int, ...] = ()

    def judge(self, connection: Connection) -> None:
        for stream in self.streams:
            answer = connection.answer(stream)
            assert (answer.status, answer.grpc_status) == ("200", "0"), answer
        connection.assert_serves()


@dataclass(frozen=True, slots=True)
class Answers:
    """No error of HTTP: stream 1 is answered, and what it says is looked at; the connection lives."""

    look: Callable[[Answer], bool]

    def judge(self, connection: Connection) -> None:
        answer = connection.answer(1)
        assert answer.reset in (None, 0), answer
        assert self.look(answer), answer
        connection.assert_serves()


def ends(*codes: int) -> Ends:
    return Ends(codes)


def resets(*codes: int, stream: int = 1) -> Resets:
    return Resets(codes, stream)


def resets_or_ends(*codes: int) -> ResetsOrEnds:
    return ResetsOrEnds(codes)


def serves(*streams: int) -> Serves:
    return Serves(streams)


def answered(stream: int) -> Callable[[Connection], None]:
    """A step: waits until the answer on a stream is complete."""
    def wait(connection: Connection) -> None:
        connection.answer(stream)
    return wait


def begun(stream: int) -> Callable[[Connection], None]:
    """A step: waits until the answer on a stream has begun."""
    def wait(connection: Connection) -> None:
        connection.until(lambda: stream in connection.answers, f"an answer on stream {stream}")
    return wait


@dataclass(frozen=True, slots=True)
class Rule:
    """What is sent behind the handshake, and the verdict that the section asks for."""

    section: str
    what: str
    verdict: Verdict
    steps: tuple[Step, ...]


def rule(section: str, what: str, verdict: Verdict, *steps: Step) -> pytest.ParameterSet:
    """A row of a table."""
    return pytest.param(Rule(section, what, verdict, steps), id=f"{section} {what}")


def try_rule(connection: Connection, wanted: Rule) -> None:
    """Sends a rule's steps and judges."""
    sent: list[bytes] = []
    for step in wanted.steps:
        if isinstance(step, bytes):
            sent.append(step)
            continue
        connection.send(*sent)
        sent.clear()
        step(connection)
    connection.send(*sent)
    wanted.verdict.judge(connection)
