"""The resuming stream: order, answers, limits, and every kind of end that the contract knows."""

from __future__ import annotations

import threading
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
    SequenceGap,
    TakenOver,
    connection,
)
from espclient.protocol import telemetry_pb2 as pb

from sending import (
    TIMEOUT,
    all_times,
    fault_once,
    make_batch,
    send_all,
    send_all_from,
    send_for_ever,
    stored_times,
    wait_for,
)
from server import Fault, TestServer


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


def test_retry_info_alone_is_a_reason_to_come_back(server: TestServer) -> None:
    details = b"\x1a\x2a\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
    server.service.exhausted = [("grpc-status-details-bin", details)]
    with ResumingStream(server.target, "p") as stream:
        send_all(stream, 2)
    assert len(server.service.opened) == 2


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


def test_a_heartbeat_puts_off_the_moment_at_which_the_server_counts_as_gone(
    server: TestServer,
) -> None:
    with ResumingStream(server.target, "p") as stream:
        before = stream._loop._deadline
        assert before is not None
        wait_for(lambda: (stream._loop._deadline or 0.0) > before)


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
