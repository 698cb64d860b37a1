"""Nothing is lost and nothing doubled, wherever and however the server breaks."""

from __future__ import annotations

import random
import threading

import pytest

from espclient import ResumingStream, Rewound

from sending import all_times, fault_once, make_batch, send_all, stored_times
from server import Fault, TestServer


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
