"""The resuming stream against a server that breaks in every way that the contract knows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from espclient import (
    BatchTooLarge,
    EspError,
    GaveUp,
    Interrupted,
    ProtocolViolation,
    Refused,
    ResumingStream,
    Rewound,
    SequenceGap,
    TakenOver,
    connection,
)
from espclient.protocol import telemetry_pb2 as pb

from server import Fault, TestServer

TIMEOUT = 30.0
"""Seconds after which a test that waits for the server has failed."""


def make_batch(number: int, readings: int = 5, *, bad: int = 0) -> pb.Batch:
    """Readings that tell their batch by the time; the first `bad` have a negative pressure."""
    batch = pb.Batch()
    for i in range(readings):
        reading = batch.readings.add(device_id="W-1", pressure=-1.0 if i < bad else 1.0)
        reading.timestamp.FromMicroseconds(number * 1_000_000 + i)
    return batch


def stored_times(server: TestServer) -> list[int]:
    return [row[1] for row in server.store.rows()]


def all_times(batches: int, readings: int = 5) -> list[int]:
    return [n * 1_000_000 + i for n in range(1, batches + 1) for i in range(readings)]


def fault_once(server: TestServer, point: str, sequence: int, kind: str) -> None:
    """Lets the server break once at that point."""
    left = [True]

    def fault(at: str, number: int) -> None:
        if left[0] and (at, number) == (point, sequence):
            left[0] = False
            raise Fault(kind)

    server.service.fault = fault


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        time.sleep(0.005)


def send_all(stream: ResumingStream, batches: int, readings: int = 5) -> None:
    """Sends batches 1 to `batches`, from the server's cursor, going back when it does."""
    number = stream.open()
    while True:
        try:
            while number < batches:
                assert stream.send(make_batch(number + 1, readings)) == number + 1
                number += 1
            stream.close()
            return
        except Rewound as rewound:
            number = rewound.last_sequence


def send_all_from(stream: ResumingStream, first: int, last: int) -> None:
    for number in range(first, last + 1):
        stream.send(make_batch(number))
    stream.close()


def send_for_ever(stream: ResumingStream) -> None:
    while True:
        stream.send(make_batch(stream.open() + 1))
        stream.flush()


def test_every_batch_is_answered_in_order_with_its_tag(server: TestServer) -> None:
    seen: list[tuple[int, object]] = []
    with ResumingStream(
        server.target, "p", on_result=lambda result, tag: seen.append((result.sequence, tag))
    ) as stream:
        for number in range(1, 101):
            assert stream.send(make_batch(number, bad=number % 2), tag=f"#{number}") == number
    assert seen == [(number, f"#{number}") for number in range(1, 101)]
    totals = stream.totals
    assert (totals.sent, totals.stored, totals.quarantined) == (500, 450, 50)
    assert (totals.batches, totals.unconfirmed, totals.reconnects) == (100, 0, 0)
    assert not totals.all_kept


def test_opening_says_who_sends_and_how(server: TestServer) -> None:
    with ResumingStream(server.target, "gateway-7", ack="committed", historical=True):
        pass
    [opening] = server.service.opened
    assert opening.producer_id == "gateway-7"
    assert opening.ack_level == pb.ACK_LEVEL_COMMITTED
    assert opening.historical


def test_a_later_stream_goes_on_after_the_cursor(server: TestServer) -> None:
    for batches in (3, 7):
        with ResumingStream(server.target, "p") as stream:
            send_all(stream, batches)
    assert stored_times(server) == all_times(7)
    assert stream.totals.batches == 4


def test_blocks_are_counted_by_their_samples(server: TestServer) -> None:
    batch = pb.Batch()
    batch.blocks.add(device_id="W", time_delta_us=[0, 1, 1], rpm=[1, 2, 3])
    batch.readings.add(device_id="W", rpm=4).timestamp.FromMicroseconds(9)
    with ResumingStream(server.target, "p") as stream:
        stream.send(batch)
    assert (stream.totals.sent, stream.totals.stored) == (4, 4)


@pytest.mark.parametrize(
    "kind", ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED", "END", "CRASH"]
)
@pytest.mark.parametrize("point", ["received", "stored", "answered"])
def test_a_break_at_any_point_loses_and_doubles_nothing(
    server: TestServer, point: str, kind: str
) -> None:
    fault_once(server, point, 7, kind)
    events: list[str] = []
    with ResumingStream(server.target, "p", window=4, on_event=events.append) as stream:
        send_all(stream, 20)
    assert stored_times(server) == all_times(20)
    totals = stream.totals
    assert totals.reconnects >= 1
    assert len(events) >= 1
    assert totals.sent == totals.stored + totals.resumed == 100
    if point == "stored":
        assert totals.resumed >= 5


@pytest.mark.parametrize("kind", ["UNAVAILABLE", "END"])
@pytest.mark.parametrize("point", ["open", "opened"])
def test_a_break_while_opening_is_only_another_try(
    server: TestServer, point: str, kind: str
) -> None:
    fault_once(server, point, 0, kind)
    with ResumingStream(server.target, "p") as stream:
        send_all(stream, 5)
    assert stored_times(server) == all_times(5)


class RandomFaults:
    """Breaks the server at random points in random ways, at most `most` times."""

    KINDS = ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "END", "CRASH", "CRASH")

    def __init__(self, seed: int, most: int) -> None:
        self._source = random.Random(seed)
        self._lock = threading.Lock()
        self.left = most

    def __call__(self, point: str, sequence: int) -> None:
        with self._lock:
            if self.left and self._source.random() < 0.15:
                self.left -= 1
                raise Fault(self._source.choice(self.KINDS))


@pytest.mark.parametrize("ack", ["durable", "accepted"])
@pytest.mark.parametrize("seed", range(50))
def test_nothing_is_lost_or_doubled_when_the_server_breaks_at_random(
    server: TestServer, seed: int, ack: str
) -> None:
    server.service.fault = faults = RandomFaults(seed, most=8)
    window = random.Random(seed).randint(1, 20)
    with ResumingStream(server.target, "p", ack=ack, window=window) as stream:
        send_all(stream, 60)
        assert faults.left == 0
    server.store.commit()
    assert stored_times(server) == all_times(60)
    totals = stream.totals
    assert totals.sent == 300
    assert totals.batches == 60
    assert totals.sent == totals.stored + totals.duplicate + totals.resumed
    assert totals.unconfirmed == 0


def test_an_accepted_batch_that_a_crash_lost_is_asked_for_again(server: TestServer) -> None:
    stream = ResumingStream(server.target, "p", ack="accepted")
    for number in range(1, 9):
        stream.send(make_batch(number))
    stream.flush()  # The test server commits every fifth batch: 6, 7 and 8 are in memory only.
    fault_once(server, "received", 9, "CRASH")
    stream.send(make_batch(9))
    with pytest.raises(Rewound) as rewound:
        stream.flush()
    assert rewound.value.last_sequence == 5
    assert stream.totals.sent == stream.totals.stored == 25
    send_all(stream, 10)
    assert stored_times(server) == all_times(10)
    assert stream.totals.sent == stream.totals.stored == 50


def test_a_drain_is_obeyed_silently(server: TestServer) -> None:
    server.service.drain_at = {3, 11}
    events: list[str] = []
    with ResumingStream(server.target, "p", window=2, on_event=events.append) as stream:
        send_all(stream, 20)
    assert stored_times(server) == all_times(20)
    assert stream.totals.reconnects == 2
    assert events == []
    opened = server.service.opened_at
    assert all(later - earlier >= 0.3 for earlier, later in pairwise(opened))


def test_a_server_that_never_finishes_its_drain_is_left(server: TestServer) -> None:
    server.service.drain_at = {1}
    hang = threading.Event()

    def fault(point: str, sequence: int) -> None:
        if (point, sequence) == ("received", 2) and len(server.service.opened) == 1:
            hang.wait(TIMEOUT)

    server.service.fault = fault
    with ResumingStream(server.target, "p", window=4) as stream:
        send_all(stream, 5)
        hang.set()
    assert stored_times(server) == all_times(5)


def test_the_first_stream_ends_when_another_takes_over(server: TestServer) -> None:
    first = ResumingStream(server.target, "p")
    first.send(make_batch(1))
    first.flush()
    with ResumingStream(server.target, "p") as second:
        assert second.open() >= 1
        with pytest.raises(TakenOver, match="taken over"):
            send_for_ever(first)
    assert TakenOver.exit_code == 3
    opened = len(server.service.opened)
    first.abort()
    assert len(server.service.opened) == opened == 2


def test_a_cursor_ahead_of_what_was_sent_means_another_sender(server: TestServer) -> None:
    def fault(point: str, sequence: int) -> None:
        if (point, sequence) == ("received", 2):
            server.store.set_cursor("p", 500)
            raise Fault("UNAVAILABLE")

    server.service.fault = fault
    stream = ResumingStream(server.target, "p")
    with pytest.raises(TakenOver, match="another sender"):
        send_all(stream, 5)


def test_a_gap_is_resumed_once_from_the_servers_cursor(server: TestServer) -> None:
    fault_once(server, "received", 4, "FAILED_PRECONDITION")
    with ResumingStream(server.target, "p") as stream:
        send_all(stream, 10)
    assert stored_times(server) == all_times(10)


def test_a_second_gap_in_a_row_is_an_error(server: TestServer) -> None:
    def fault(point: str, sequence: int) -> None:
        if (point, sequence) == ("received", 4):
            raise Fault("FAILED_PRECONDITION")

    server.service.fault = fault
    stream = ResumingStream(server.target, "p", window=1)
    with pytest.raises(SequenceGap, match="FAILED_PRECONDITION: the test wants it"):
        send_all(stream, 10)
    assert stored_times(server) == all_times(3)


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_a_refusal_is_final_and_says_what_the_server_said(server: TestServer, code: str) -> None:
    fault_once(server, "received", 2, code)
    stream = ResumingStream(server.target, "p")
    with pytest.raises(Refused, match=f"{code}: the test wants it") as error:
        send_all(stream, 5)
    assert error.value.exit_code == 2
    assert len(server.service.opened) == 1


def test_an_overloaded_server_is_given_the_time_it_asks_for(server: TestServer) -> None:
    server.service.exhausted = [("grpc-retry-pushback-ms", "400")]
    with ResumingStream(server.target, "p") as stream:
        send_all(stream, 2)
    first, second = server.service.opened_at
    assert second - first >= 0.4


@pytest.mark.parametrize("trailers", [[], [("grpc-retry-pushback-ms", "-1")]])
def test_exhaustion_without_a_time_to_come_back_is_final(
    server: TestServer, trailers: list[tuple[str, str]]
) -> None:
    server.service.exhausted = trailers
    with pytest.raises(Refused, match="RESOURCE_EXHAUSTED"):
        ResumingStream(server.target, "p").open()


def test_a_silent_server_counts_as_gone(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_MARGIN", 0.2)
    hang = threading.Event()

    def fault(point: str, sequence: int) -> None:
        if (point, sequence) == ("received", 2) and len(server.service.opened) == 1:
            hang.wait(TIMEOUT)

    server.service.fault = fault
    events: list[str] = []
    with ResumingStream(server.target, "p", on_event=events.append) as stream:
        send_all(stream, 5)
        hang.set()
    assert stored_times(server) == all_times(5)
    assert "the server is silent" in events[0]


def test_heartbeats_keep_an_idle_stream_open(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_MARGIN", 0.3)
    with ResumingStream(server.target, "p") as stream:
        time.sleep(1.0)
        stream.send(make_batch(1))
    assert stream.totals.reconnects == 0


def test_an_unreachable_server_is_given_up_in_time() -> None:
    stream = ResumingStream("127.0.0.1:1", "p", retry_for=0.3)
    with pytest.raises(GaveUp, match=r"no progress for 0.3 s.*UNAVAILABLE"):
        stream.open()
    assert GaveUp.exit_code == 1


def test_the_caller_can_stop_while_the_server_is_away() -> None:
    stop = [False]
    stream = ResumingStream("127.0.0.1:1", "p", stop=lambda: stop[0])
    threading.Timer(0.1, lambda: stop.__setitem__(0, True)).start()
    with pytest.raises(Interrupted):
        stream.open()
    stream.leave(0.1)


def test_leaving_waits_for_answers_even_when_told_to_stop(server: TestServer) -> None:
    stop = [False]
    stream = ResumingStream(server.target, "p", stop=lambda: stop[0])
    for number in range(1, 11):
        stream.send(make_batch(number))
    stop[0] = True
    stream.leave(TIMEOUT)
    assert (stream.totals.stored, stream.totals.unconfirmed) == (50, 0)


def test_closing_waits_for_a_server_that_comes_back(server: TestServer) -> None:
    fault_once(server, "received", 5, "CRASH")
    stream = ResumingStream(server.target, "p")
    for number in range(1, 6):
        stream.send(make_batch(number))
    stream.close()
    assert stored_times(server) == all_times(5)
    with pytest.raises(EspError, match="closed"):
        stream.send(make_batch(6))


def test_a_batch_beyond_the_announced_limits_is_not_sent(server: TestServer) -> None:
    server.service.limits = pb.StreamOpened(max_batch_readings=5, max_message_bytes=100)
    stream = ResumingStream(server.target, "p")
    stream.send(make_batch(1, 1))
    with pytest.raises(BatchTooLarge, match="6 readings; the server takes 5"):
        stream.send(make_batch(2, 6))
    with pytest.raises(BatchTooLarge, match="messages of 100"):
        stream.send(make_batch(2, 5))
    assert stream.send(make_batch(2, 1)) == 2
    stream.close()


def test_an_answer_that_does_not_add_up_is_an_error(server: TestServer) -> None:
    stream = ResumingStream(server.target, "p")
    stream.send(make_batch(1), readings=4)
    with pytest.raises(ProtocolViolation, match="has 4 readings, but the answer accounts for 5"):
        stream.close()


def test_a_callback_that_fails_reaches_the_caller(server: TestServer) -> None:
    def fail(result: pb.BatchResult, tag: object) -> None:
        raise KeyError("oops")

    stream = ResumingStream(server.target, "p", on_result=fail)
    stream.send(make_batch(1))
    with pytest.raises(EspError, match="KeyError: 'oops'"):
        wait_for(lambda: stream.flush() is not None)


def test_the_window_bounds_what_is_under_way(server: TestServer) -> None:
    hang = threading.Event()

    def fault(point: str, sequence: int) -> None:
        if point == "received":
            hang.wait(TIMEOUT)

    server.service.fault = fault
    stop = [False]
    stream = ResumingStream(server.target, "p", window=3, stop=lambda: stop[0])
    for number in range(1, 4):
        stream.send(make_batch(number))
    stop[0] = True
    with pytest.raises(Interrupted):
        stream.send(make_batch(4))
    stop[0] = False
    hang.set()
    send_all_from(stream, 4, 10)
    assert stored_times(server) == all_times(10)
