"""Store and forward: what `send` returned for is stored once; a server that is away is no error."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from espclient import (
    BadInput,
    BatchTooLarge,
    ProtocolViolation,
    Refused,
    SpoolError,
    SpoolFull,
    StoreAndForward,
    TakenOver,
    connection,
)
from espclient.protocol import telemetry_pb2 as pb
from espclient.spool import LEAST_MAX_BYTES

from sending import TIMEOUT, all_times, fault_once, make_batch, stored_times, wait_for
from server import Fault, TestServer
from spooling import flip, forward, segments, send_numbers
from test_exactly_once import RandomFaults

BATCHES = 30


def test_what_is_sent_arrives_and_leaves_the_spool(server: TestServer, tmp_path: Path) -> None:
    seen: list[int] = []
    with forward(
        server, tmp_path, on_result=lambda result, _: seen.append(result.sequence)
    ) as sender:
        send_numbers(sender, 1, BATCHES)
        assert sender.flush(TIMEOUT)
        assert (sender.pending, sender.lost_batches) == (0, 0)
        totals = sender.totals
        assert (totals.sent, totals.stored, totals.unconfirmed) == (150, 150, 0)
    assert seen == list(range(1, BATCHES + 1))
    assert stored_times(server) == all_times(BATCHES)


def test_a_server_that_is_away_is_no_error(tmp_path: Path) -> None:
    with StoreAndForward("127.0.0.1:1", "p", tmp_path) as sender:
        send_numbers(sender, 1, BATCHES)
        assert not sender.flush(0.1)
        assert sender.failure is None
    server = TestServer()
    try:
        with forward(server, tmp_path) as sender:
            assert sender.pending == BATCHES
            send_numbers(sender, BATCHES + 1, BATCHES + 5)
            assert sender.flush(TIMEOUT)
        assert stored_times(server) == all_times(BATCHES + 5)
    finally:
        server.stop()


@pytest.mark.parametrize("ack", ["durable", "accepted"])
@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_doubled_when_the_server_breaks_and_the_sender_is_restarted(
    server: TestServer, tmp_path: Path, seed: int, ack: str
) -> None:
    source = random.Random(seed)
    server.service.fault = RandomFaults(seed, most=6)
    number = 0
    for _ in range(4):
        with forward(server, tmp_path, ack=ack, window=source.randint(1, 20)) as sender:
            for number in range(number + 1, number + 16):
                sender.send(make_batch(number))
            if source.random() < 0.5:
                sender.flush(source.random() / 5)
    with forward(server, tmp_path, ack=ack) as sender:
        assert sender.flush(TIMEOUT)
        assert sender.lost_batches == 0
    server.store.commit()
    assert stored_times(server) == all_times(60)


def test_what_the_server_has_already_is_skipped(server: TestServer, tmp_path: Path) -> None:
    """Its answer was lost together with the sender."""
    fault_once(server, "stored", 4, "CRASH")
    with forward(server, tmp_path, window=1) as sender:
        send_numbers(sender, 1, 10)
        wait_for(lambda: server.crashes == 1)
    received: list[int] = []
    server.service.fault = lambda point, number: (
        received.append(number) if point == "received" else None
    )
    with forward(server, tmp_path) as sender:
        assert sender.flush(TIMEOUT)
    assert stored_times(server) == all_times(10)
    assert not set(received) & {1, 2, 3, 4}


def test_kill_9_of_the_sender_loses_nothing_that_send_returned_for(
    server: TestServer, tmp_path: Path
) -> None:
    program = """
import sys
from pathlib import Path
from espclient import StoreAndForward
from sending import make_batch
target, folder, record = sys.argv[1:]
sender = StoreAndForward(target, "p", folder)
number = len(Path(record).read_bytes()) if Path(record).exists() else 0
number = max(number, sender.newest)
with open(record, "ab", buffering=0) as file:
    file.write(b"." * (number - file.tell()))
    while True:
        number += 1
        assert sender.send(make_batch(number)) == number
        file.write(b".")
"""
    source = random.Random(7)
    record = tmp_path / "record"
    for _ in range(8):
        before = record.stat().st_size if record.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", program, server.target, tmp_path / "spool", record],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        wait_for(lambda before=before: record.exists() and record.stat().st_size > before)
        time.sleep(source.random() / 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
    sent = record.stat().st_size
    with forward(server, tmp_path / "spool") as sender:
        assert sender.flush(TIMEOUT)
        newest = sender.newest
    assert newest in (sent, sent + 1)
    assert stored_times(server) == all_times(newest)


def test_a_drain_is_obeyed_and_not_seen(server: TestServer, tmp_path: Path) -> None:
    server.service.drain_at = {3, 11}
    events: list[str] = []
    with forward(server, tmp_path, window=4, on_event=events.append) as sender:
        send_numbers(sender, 1, 20)
        assert sender.flush(TIMEOUT)
    assert events == []
    assert len(server.service.opened) == 3
    for before, after in zip(server.service.opened_at, server.service.opened_at[1:], strict=False):
        assert after - before >= 0.3
    assert stored_times(server) == all_times(20)


def test_two_missing_heartbeats_mean_that_the_server_is_gone(
    server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_MARGIN", 0.2)
    hang = threading.Event()

    def fault(point: str, sequence: int) -> None:
        if (point, sequence) == ("received", 2) and len(server.service.opened) == 1:
            hang.wait(TIMEOUT)

    server.service.fault = fault
    events: list[str] = []
    with forward(server, tmp_path, on_event=events.append) as sender:
        send_numbers(sender, 1, 5)
        assert sender.flush(TIMEOUT)
    hang.set()
    assert "the server is silent" in events[0]
    assert stored_times(server) == all_times(5)


@pytest.mark.parametrize(
    "trailers",
    [
        [("grpc-retry-pushback-ms", "400")],
        [
            (
                "grpc-status-details-bin",
                # Status: code 8, one detail: RetryInfo with a delay of 400 ms.
                b"\x08\x08\x1a\x34\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
                b"\x12\x08\x0a\x06\x10\x80\x88\xde\xbe\x01",
            )
        ],
    ],
)
def test_an_overloaded_server_is_given_the_time_it_asks_for(
    server: TestServer, tmp_path: Path, trailers: list[tuple[str, str | bytes]]
) -> None:
    server.service.exhausted = trailers
    with forward(server, tmp_path) as sender:
        send_numbers(sender, 1, 5)
        assert sender.flush(TIMEOUT)
    first, second = server.service.opened_at
    assert second - first >= 0.4


# The spool's limit.


def fill_up(sender: StoreAndForward) -> int:
    """Sends until the spool is full; returns how many batches it took."""
    number = 0
    with pytest.raises(SpoolFull, match="is full"):
        while True:
            sender.send(make_batch(number + 1, 50), timeout=0)
            number += 1
    return number


@pytest.mark.parametrize("when_full", ["block", "raise"])
def test_a_full_spool_says_so_and_takes_nothing(tmp_path: Path, when_full: str) -> None:
    with StoreAndForward(
        "127.0.0.1:1", "p", tmp_path, max_bytes=LEAST_MAX_BYTES, when_full=when_full
    ) as sender:
        number = fill_up(sender)
        assert sender.pending == number
    server = TestServer()
    try:
        with forward(server, tmp_path, max_bytes=LEAST_MAX_BYTES) as sender:
            # Blocks until there is room.
            sender.send(make_batch(number + 1, 50))
            assert sender.flush(TIMEOUT)
        assert stored_times(server) == all_times(number + 1, 50)
    finally:
        server.stop()


def test_a_sender_that_blocks_wakes_up_when_it_is_closed(tmp_path: Path) -> None:
    sender = StoreAndForward("127.0.0.1:1", "p", tmp_path, max_bytes=LEAST_MAX_BYTES)
    number = fill_up(sender)
    errors: list[BaseException] = []

    def block() -> None:
        try:
            sender.send(make_batch(number + 1, 50))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=block)
    thread.start()
    sender.close()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert "closed" in str(errors[0])


def test_lazy_syncs_come_before_the_wire(
    server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with forward(server, tmp_path, sync_interval=3600) as sender:
        send_numbers(sender, 1, BATCHES)
        assert sender.flush(TIMEOUT)
        assert synced[-1] == segments(tmp_path)[-1].stat().st_size
    assert stored_times(server) == all_times(BATCHES)


# Losses that nothing can undo are told, and don't stop what is behind them.


def test_a_damaged_batch_is_told_and_the_rest_arrives(server: TestServer, tmp_path: Path) -> None:
    with StoreAndForward("127.0.0.1:1", "p", tmp_path) as sender:
        send_numbers(sender, 1, 9)
    record = (segments(tmp_path)[0].stat().st_size - 24) // 9
    flip(segments(tmp_path)[0], 24 + 3 * record + 40)
    flip(segments(tmp_path)[0], 24 + 4 * record + 40)
    lost: list[tuple[int, int]] = []
    events: list[str] = []
    with forward(
        server, tmp_path, on_lost=lambda *each: lost.append(each), on_event=events.append
    ) as sender:
        assert sender.flush(TIMEOUT)
        assert sender.lost_batches == 2
    assert lost == [(4, 5)]
    assert events == ["batches 4 to 5 are lost: the spool has them no longer"]
    assert stored_times(server) == [t for t in all_times(9) if t // 1_000_000 not in (4, 5)]


def test_a_server_that_forgot_gets_again_what_the_spool_still_has(
    server: TestServer, tmp_path: Path
) -> None:
    """A restored backup: its cursor is back at 2."""
    with forward(server, tmp_path) as sender:
        send_numbers(sender, 1, 6)
        assert sender.flush(TIMEOUT)
    server.store.set_cursor("p", 2)
    events: list[str] = []
    with forward(server, tmp_path, on_event=events.append) as sender:
        send_numbers(sender, 7, 7)
        wait_for(lambda: sender.is_connected)
        assert sender.flush(TIMEOUT)
        assert (sender.forgotten_batches, sender.lost_batches) == (4, 0)
    assert events == ["the server has forgotten batches 3 to 6, which it had acknowledged"]
    assert sorted(set(stored_times(server))) == all_times(7)


def test_a_server_that_forgot_what_the_spool_has_no_longer_is_told(
    server: TestServer, tmp_path: Path
) -> None:
    with forward(server, tmp_path, max_bytes=LEAST_MAX_BYTES) as sender:
        for number in range(1, 100):
            sender.send(make_batch(number, 50))
        assert sender.flush(TIMEOUT)
    server.store.set_cursor("p", 2)
    first = int(segments(tmp_path)[0].stem)
    lost: list[tuple[int, int]] = []
    with forward(server, tmp_path, on_lost=lambda *each: lost.append(each)) as sender:
        sender.send(make_batch(100, 50))
        wait_for(lambda: sender.is_connected)
        assert sender.flush(TIMEOUT)
        assert (sender.forgotten_batches, sender.lost_batches) == (97, first - 3)
    assert lost == [(3, first - 1)]
    assert set(all_times(100, 50)) == set(stored_times(server))


def test_a_new_spool_goes_on_behind_what_a_lost_one_had_sent(
    server: TestServer, tmp_path: Path
) -> None:
    with forward(server, tmp_path / "lost") as sender:
        send_numbers(sender, 1, 6)
        assert sender.flush(TIMEOUT)
    seen: list[int] = []
    for first in (1, 3):
        with forward(
            server, tmp_path / "new", on_result=lambda result, _: seen.append(result.sequence)
        ) as sender:
            for number in (first, first + 1):
                assert sender.send(make_batch(6 + number)) == number
            assert sender.flush(TIMEOUT)
    assert seen == [7, 8, 9, 10]
    assert stored_times(server) == all_times(10)


# What no other try can help.


def test_a_cursor_ahead_of_the_spool_means_another_sender(
    server: TestServer, tmp_path: Path
) -> None:
    with forward(server, tmp_path) as sender:
        send_numbers(sender, 1, 3)
        assert sender.flush(TIMEOUT)
    server.store.set_cursor("p", 500)
    with forward(server, tmp_path) as sender:
        wait_for(lambda: sender.failure is not None)
        with pytest.raises(TakenOver, match="has batch 500 .* ends with 3: another sender"):
            sender.send(make_batch(4))
        with pytest.raises(TakenOver):
            sender.send(make_batch(4))
        assert sender.newest == 3, "an error means that the batch is not kept"


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_a_refusal_is_said_and_the_batches_stay(
    server: TestServer, tmp_path: Path, code: str
) -> None:
    fault_once(server, "received", 2, code)
    with forward(server, tmp_path, window=1) as sender:
        with pytest.raises(Refused, match=f"{code}: the test wants it"):
            send_numbers(sender, 1, 3)
            sender.flush(TIMEOUT)
        kept = sender.newest
    with forward(server, tmp_path) as sender:
        assert sender.flush(TIMEOUT)
    assert stored_times(server) == all_times(kept)


def test_an_ack_below_the_level_wanted_frees_nothing(server: TestServer, tmp_path: Path) -> None:
    """The test server answers DURABLE."""
    with forward(server, tmp_path, ack="committed") as sender:
        with pytest.raises(ProtocolViolation, match="acknowledged at level 2; 3 was asked for"):
            sender.send(make_batch(1))
            sender.flush(TIMEOUT)
        assert sender.pending == 1


def test_batches_that_no_server_takes_are_not_spooled(server: TestServer, tmp_path: Path) -> None:
    block = pb.ReadingBlock(device_id="W", time_delta_us=[0] * 100_001)
    with StoreAndForward("127.0.0.1:1", "p", tmp_path) as sender:
        with pytest.raises(BatchTooLarge, match="100001 readings; the server takes 100000"):
            sender.send(pb.Batch(blocks=[block]))
        with pytest.raises(BatchTooLarge, match="the server takes messages of 4194304"):
            sender.send(pb.Batch(readings=[pb.Reading(device_id="x" * (4 << 20))]))
        assert sender.pending == 0
    server.service.limits = pb.StreamOpened(max_batch_readings=5, max_message_bytes=100_000)
    with forward(server, tmp_path) as sender:
        wait_for(lambda: sender.is_connected)
        with pytest.raises(BatchTooLarge, match="6 readings; the server takes 5"):
            sender.send(make_batch(1, 6))
        send_numbers(sender, 1, 2)
        assert sender.flush(TIMEOUT)


@pytest.mark.parametrize(
    ("producer", "options", "reason"),
    [
        ("", {}, "1 to 128 bytes"),
        ("é" * 65, {}, "1 to 128 bytes"),
        ("p", {"ack": "soon"}, "accepted, durable, committed, not 'soon'"),
        ("p", {"when_full": "drop"}, "'block' or 'raise', not 'drop'"),
        ("p", {"window": 0}, "window must be at least 1"),
        ("p", {"sync_interval": -1}, "sync_interval not below 0"),
        ("p", {"max_bytes": 1}, "max_bytes is 1; at least"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, producer: str, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        StoreAndForward("127.0.0.1:1", producer, tmp_path / "spool", **options)
    assert not (tmp_path / "spool").exists()


def test_two_senders_on_one_spool_are_refused(server: TestServer, tmp_path: Path) -> None:
    with forward(server, tmp_path) as sender:
        with pytest.raises(SpoolError, match="open already"):
            forward(server, tmp_path)
        send_numbers(sender, 1, 3)
        assert sender.flush(TIMEOUT)


def test_two_spools_of_one_producer_do_not_fight(server: TestServer, tmp_path: Path) -> None:
    with forward(server, tmp_path / "a") as first:
        send_numbers(first, 1, 2)
        assert first.flush(TIMEOUT)
        with forward(server, tmp_path / "b") as second:
            wait_for(lambda: first.failure is not None)
            assert isinstance(first.failure, TakenOver)
            assert second.send(make_batch(3)) == 1
            assert second.flush(TIMEOUT)
    assert stored_times(server) == all_times(3)


def test_a_second_gap_in_a_row_stops_the_sender(server: TestServer, tmp_path: Path) -> None:
    def fault(point: str, sequence: int) -> None:
        if (point, sequence) == ("received", 2):
            raise Fault("FAILED_PRECONDITION")

    server.service.fault = fault
    with forward(server, tmp_path, window=1) as sender:
        sender.send(make_batch(1))
        sender.send(make_batch(2))
        wait_for(lambda: sender.failure is not None)
        assert "FAILED_PRECONDITION: the test wants it" in str(sender.failure)
