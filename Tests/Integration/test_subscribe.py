"""Subscribe: the latest values, the tail, a slow reader, and the return after a kill, compared with the table."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict

import grpc
import pytest

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd, wait_for
from readings import START_US


def send(server: Espd, readings: list[pb.Reading]) -> None:
    with open_channel(server.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        result = stub.Ingest(pb.IngestRequest(readings=readings, ack_level=pb.ACK_LEVEL_COMMITTED), timeout=60).result
    assert result.stored == len(readings)


def reading(device: str, number: int, temperature: float | None = None) -> pb.Reading:
    """Number 0, 1, 2 ... of a device: a millisecond apart."""
    message = pb.Reading(device_id=device, temperature=number % 100 if temperature is None else temperature)
    message.timestamp.FromMicroseconds(START_US + number * 1000)
    return message


def number_of(stored: pb.StoredReading) -> int:
    return (stored.reading.timestamp.ToMicroseconds() - START_US) // 1000


class Subscriber:
    """A subscription that is read in a thread of its own, until it ends."""

    def __init__(self, target: str, devices: list[str], resume_token: str = "") -> None:
        self.numbers: dict[str, list[int]] = defaultdict(list)
        self.gap = 0
        self.token = resume_token
        self.error: grpc.RpcError | None = None
        self._channel = open_channel(target)
        stub = telemetry_pb2_grpc.TelemetryServiceStub(self._channel)
        self.call = stub.Subscribe(pb.SubscribeRequest(device_id=devices, resume_token=resume_token))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for response in self.call:
                self.token = response.resume_token
                if response.HasField("gap"):
                    self.gap += response.gap.count
                else:
                    self.numbers[response.reading.reading.device_id].append(number_of(response.reading))
        except grpc.RpcError as error:
            self.error = error

    @property
    def count(self) -> int:
        return sum(map(len, self.numbers.values()))

    def await_count(self, count: int) -> None:
        wait_for(lambda: self.count >= count or self.error, f"{count} readings", timeout=60)
        assert self.error is None, self.error

    def close(self) -> None:
        self.call.cancel()
        self._thread.join(30)
        self._channel.close()


def test_the_latest_of_each_device_and_then_the_tail(shared: Espd, name: str):
    devices = [f"{name}-{letter}" for letter in "ab"]
    send(shared, [reading(device, number) for number in range(5) for device in devices])
    subscriber = Subscriber(shared.target, devices)
    subscriber.await_count(2)
    assert subscriber.numbers == {device: [4] for device in devices}
    # The tail: of these devices only, what is not older than the latest, each once.
    send(shared, [reading(devices[0], 5), reading(f"{name}-c", 1), reading(devices[0], 3), reading(devices[1], 7)])
    subscriber.await_count(4)
    send(shared, [reading(devices[1], 6), reading(devices[1], 8)])
    subscriber.await_count(5)
    assert subscriber.numbers == {devices[0]: [4, 5], devices[1]: [4, 7, 8]}
    subscriber.close()


def test_a_stored_reading_is_sent_as_it_is_queried(shared: Espd, stub, name: str):
    subscriber = stub.Subscribe(pb.SubscribeRequest(device_id=[name]), timeout=60)
    responses: queue.Queue[pb.SubscribeResponse] = queue.Queue()
    threading.Thread(target=lambda: [responses.put(response) for response in iter_quietly(subscriber)]).start()
    sent = reading(name, 1, 85.5)
    sent.quality, sent.source_system, sent.motor_current = 7, "plc", 40.25
    sent.timestamp.FromMicroseconds(int(time.time() * 1e6))
    # Its first subscription may begin before or after this is committed: either way it comes once.
    send(shared, [sent])
    live = responses.get(timeout=30).reading
    subscriber.cancel()
    (queried,) = stub.QueryReadings(pb.QueryReadingsRequest(device_id=[name]), timeout=30).readings
    assert live == queried
    assert live.reading == sent


def iter_quietly(call):
    try:
        yield from call
    except grpc.RpcError:
        return


def test_backfill_is_not_sent(shared: Espd, channel: grpc.Channel, name: str):
    send(shared, [reading(name, 10)])
    subscriber = Subscriber(shared.target, [name])
    subscriber.await_count(1)
    stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
    opening = pb.OpenStream(producer_id=name, ack_level=pb.ACK_LEVEL_COMMITTED, historical=True)
    requests = [pb.IngestStreamRequest(open=opening),
                pb.IngestStreamRequest(batch=pb.Batch(sequence=1, readings=[reading(name, 20)]))]
    results = [message.result for message in stub.IngestStream(iter(requests), timeout=60) if message.HasField("result")]
    assert results[0].stored == 1
    send(shared, [reading(name, 11)])
    subscriber.await_count(2)
    assert subscriber.numbers[name] == [10, 11], "the latest has not moved to 20, or 11 would be too old"
    subscriber.close()


@pytest.mark.parametrize(("request_", "at_fault"), [
    (pb.SubscribeRequest(device_id=["a b"]), "device_id"),
    (pb.SubscribeRequest(device_id=[""]), "device_id"),
    (pb.SubscribeRequest(device_id=[f"d{number}" for number in range(1001)]), "device_id"),
    (pb.SubscribeRequest(resume_token="AAAA"), "resume_token"),
    (pb.SubscribeRequest(resume_token="no token!"), "resume_token"),
])
def test_bad_requests_are_refused(stub, request_: pb.SubscribeRequest, at_fault: str):
    with pytest.raises(grpc.RpcError) as failed:
        next(iter(stub.Subscribe(request_, timeout=30)))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details().startswith(f"{at_fault}: ")


def test_a_reader_that_does_not_read_gets_the_newest_and_a_gap(make_espd, name: str):
    espd = make_espd().start()
    with open_channel(espd.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        call = stub.Subscribe(pb.SubscribeRequest(device_id=[f"{name}-0", f"{name}-1"]), timeout=120)
        send(espd, [reading(f"{name}-{index}", 0) for index in range(2)])
        first = [next(call), next(call)]
        assert sorted(response.reading.reading.device_id for response in first) == [f"{name}-0", f"{name}-1"]
        # More than windows, buffers and the ring take; nobody reads.
        total, batch = 400_000, 20_000
        for start in range(1, total, batch):
            send(espd, [reading(f"{name}-{index % 2}", start + index // 2) for index in range(batch)])
        received, gaps, newest = 0, 0, {}
        while received + gaps < total:
            response = next(call)
            if response.HasField("gap"):
                gaps += response.gap.count
                continue
            received += 1
            device, number = response.reading.reading.device_id, number_of(response.reading)
            assert number > newest.get(device, 0)
            newest[device] = number
        assert received + gaps == total
        assert gaps > 0, "the reader was not slow enough to prove anything"
        assert set(newest.values()) == {total - batch + batch // 2}
        call.cancel()
    espd.stop()


def test_killed_and_resumed_nothing_is_missing(make_espd, name: str):
    """A device's numbers rise; the subscriber is cut with each kill and resumes with its last token."""
    espd = make_espd().start()
    devices = [f"{name}-{index}" for index in range(3)]
    sent, seen = 0, defaultdict(list)
    subscriber = Subscriber(espd.target, devices)
    token = ""
    for _ in range(4):
        for _ in range(5):
            send(espd, [reading(device, sent + offset) for offset in range(50) for device in devices])
            sent += 50
        subscriber.await_count(1)
        espd.kill()
        wait_for(lambda s=subscriber: s.error, "the subscriber is cut")
        assert subscriber.gap == 0
        for device, numbers in subscriber.numbers.items():
            seen[device] += numbers
        token = subscriber.token
        subscriber.close()
        espd.start()
        # Committed while nobody subscribes.
        send(espd, [reading(device, sent) for device in devices])
        sent += 1
        subscriber = Subscriber(espd.target, devices, token)
    send(espd, [reading(device, sent) for device in devices])
    sent += 1
    wait_for(lambda: subscriber.error or all(subscriber.numbers[device][-1:] == [sent - 1] for device in devices),
             "the last readings are seen", timeout=60)
    assert subscriber.error is None
    for device in devices:
        seen[device] += subscriber.numbers[device]
        stored = espd.database.rows(f"SELECT timestamp FROM telemetry WHERE device_id = '{device}'")
        assert len(stored) == sent
        # From the first that it saw on, none is missing.
        assert sorted(set(seen[device])) == list(range(seen[device][0], sent))
        # At each of the four seams one transaction may come again: 50 readings of a device.
        assert len(seen[device]) - len(set(seen[device])) <= 4 * 50
    subscriber.close()
    espd.stop()


def test_a_drain_ends_subscriptions_and_says_to_come_back(make_espd, name: str):
    espd = make_espd().start()
    send(espd, [reading(name, 1)])
    subscriber = Subscriber(espd.target, [name])
    subscriber.await_count(1)
    begun = time.monotonic()
    espd.stop()
    assert time.monotonic() - begun < 9, "the drain timeout of 10 s was not needed"
    wait_for(lambda: subscriber.error, "the subscription ends")
    assert subscriber.error.code() is grpc.StatusCode.UNAVAILABLE
    assert "resume_token" in subscriber.error.details()
    subscriber.close()
