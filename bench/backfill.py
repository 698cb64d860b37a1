"""What a backfill ten times as fast as live ingest does to the latency of live acknowledgements.

Usage: bench/backfill.py [seconds] [rounds]. One live stream at DURABLE, a batch of 100 readings every 50 ms; in every
second period a process of its own sends 20,000 historical readings a second on another stream, in batches of 1,000.
Latency is from the write of a batch to its result at the live client, by HdrHistogram's rule: from when it was due.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import queue
import statistics
import sys
import threading
import time
from collections.abc import Iterator

import espd
import grpc
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

LIVE_READINGS, LIVE_INTERVAL = 100, 0.05
BACKFILL_READINGS, BACKFILL_INTERVAL = 1_000, 0.05
OPTIONS = [("grpc.enable_http_proxy", 0)]


def encoded_batch(device: str, first_second: int, readings: int) -> bytes:
    """A serialized batch of one device, a reading a second, eight signals; without a sequence."""
    batch = pb.Batch()
    for index in range(readings):
        batch.readings.add(
            device_id=device, temperature=80, vibration=0.1, pressure=250, flow_rate=1500, motor_current=40, rpm=3450,
            intake_pressure=900, discharge_pressure=2800).timestamp.seconds = first_second + index
    return batch.SerializeToString()


def request(batch: bytes, sequence: int) -> pb.IngestStreamRequest:
    whole = pb.IngestStreamRequest(batch=pb.Batch.FromString(batch))
    whole.batch.sequence = sequence
    return whole


def backfill(address: str, is_on: multiprocessing.synchronize.Event, acked: multiprocessing.Value) -> None:
    """Sends at its pace while it is on, for ever."""
    batch = encoded_batch("backfill", int(time.time()) - 5 * 86_400, BACKFILL_READINGS)

    def requests() -> Iterator[pb.IngestStreamRequest]:
        yield pb.IngestStreamRequest(open=pb.OpenStream(producer_id="backfill", historical=True))
        due, sequence = 0.0, 0
        while True:
            if not is_on.is_set():
                is_on.wait()
                due = time.monotonic()
            sequence += 1
            yield request(batch, sequence)
            due += BACKFILL_INTERVAL
            time.sleep(max(0, due - time.monotonic()))

    with grpc.insecure_channel(address, OPTIONS) as channel:
        for answer in telemetry_pb2_grpc.TelemetryServiceStub(channel).IngestStream(requests()):
            acked.value += answer.result.stored


class Live:
    """A stream that is never ahead of its pace; knows the latency of each batch."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.SimpleQueue[pb.IngestStreamRequest] = queue.SimpleQueue()
        self._due: dict[int, float] = {}
        self._sequence = 0
        self.latencies: dict[int, float] = {}
        self._batch = encoded_batch("live", int(time.time()) - 3600, LIVE_READINGS)
        self._requests.put(pb.IngestStreamRequest(open=pb.OpenStream(producer_id="live")))
        self._call = telemetry_pb2_grpc.TelemetryServiceStub(channel).IngestStream(iter(self._requests.get, None))
        assert next(self._call).HasField("opened")
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        for answer in self._call:
            if answer.HasField("result"):
                assert answer.result.stored == LIVE_READINGS
                self.latencies[answer.result.sequence] = time.monotonic() - self._due[answer.result.sequence]

    def run(self, seconds: float) -> list[float]:
        """Milliseconds of each batch of a period."""
        first, began = self._sequence + 1, time.monotonic()
        for number in range(int(seconds / LIVE_INTERVAL)):
            due = began + number * LIVE_INTERVAL
            time.sleep(max(0, due - time.monotonic()))
            self._sequence += 1
            self._due[self._sequence] = due
            self._requests.put(request(self._batch, self._sequence))
        while len(self.latencies) < self._sequence:
            time.sleep(0.01)
        return [self.latencies[number] * 1000 for number in range(first, self._sequence + 1)]

    def end(self) -> None:
        self._requests.put(None)
        self._thread.join(10)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    context = multiprocessing.get_context("spawn")
    is_on, acked = context.Event(), context.Value("L", 0)
    with espd.running() as server:
        filler = context.Process(target=backfill, args=(server.address, is_on, acked), daemon=True)
        filler.start()
        with grpc.insecure_channel(server.address, OPTIONS) as channel:
            live = Live(channel)
            live.run(2)
            print("| round | alone: p50, p99 ms | beside: p50, p99 ms | p99, times | backfill, readings/s |")
            print("|---|---|---|---|---|")
            ratios = []
            for number in range(1, rounds + 1):
                alone = live.run(seconds)
                is_on.set()
                before, began = acked.value, time.monotonic()
                beside = live.run(seconds)
                rate = (acked.value - before) / (time.monotonic() - began)
                is_on.clear()
                live.run(2)
                ratios.append(percentile(beside, 0.99) / percentile(alone, 0.99))
                print(f"| {number} | {percentile(alone, 0.5):.1f}, {percentile(alone, 0.99):.1f} "
                      f"| {percentile(beside, 0.5):.1f}, {percentile(beside, 0.99):.1f} | {ratios[-1]:.2f} "
                      f"| {rate:,.0f} |", flush=True)
            live.end()
        filler.terminate()
        filler.join()
    print(f"median of the ratios: {statistics.median(ratios):.2f}; bound: at most 1.2")


if __name__ == "__main__":
    main()
