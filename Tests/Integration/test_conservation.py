"""Received = stored + duplicate + quarantined + rejected, in each answer, and the same in the tables.

200 random batches a way of sending; full (ESP_TEST_FULL=1): 2,000.
"""

from __future__ import annotations

import random
import time
from collections import Counter

import grpc
import pytest

from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd
from ingest_stream import IngestStream

NAN, INFINITY = float("nan"), float("inf")
GOOD_VALUES = (0.0, -0.0, 1.5, 49.25, 200.0)
BAD_VALUES = (NAN, INFINITY, -INFINITY, 3.4e38, 200.5, -51.0, -999.25, -9999.0, 65535.0)
BAD_DEVICES = ("", "a b", "ü", "x" * 129, "a\0b")
SIGNALS = ("temperature", "vibration", "pressure", "leakage_current")


def dirty_time(rng: random.Random) -> int:
    """Microseconds: mostly good, else too old, in the future, or no time that a Timestamp may have."""
    now = int(time.time() * 1e6)
    return rng.choice([now - rng.randrange(10**12)] * 8 + [now - 40 * 86_400 * 10**6, now + 3600 * 10**6,
                                                           -62_135_596_800 * 10**6])


def dirty_reading(rng: random.Random, device: str) -> pb.Reading:
    reading = pb.Reading(device_id=rng.choice([device] * 15 + list(BAD_DEVICES)))
    if rng.random() < 0.95:
        reading.timestamp.FromMicroseconds(dirty_time(rng))
        if rng.random() < 0.03:
            reading.timestamp.nanos = rng.choice([-1, 10**9, 2**31 - 1])
    for signal in SIGNALS:
        if rng.random() < 0.6:
            setattr(reading, signal, rng.choice(GOOD_VALUES * 12 + BAD_VALUES))
    if rng.random() < 0.1:
        reading.source_system = rng.choice(["plc", "s" * 129, "a\0b", "日本"])
    if rng.random() < 0.2:
        reading.quality = rng.choice([0, 2**31, 2**32 - 1])
    return reading


def dirty_block(rng: random.Random, device: str) -> tuple[pb.ReadingBlock, int]:
    """A block and the readings that it counts for."""
    count = rng.randrange(20)
    block = pb.ReadingBlock(device_id=rng.choice([device] * 9 + list(BAD_DEVICES)),
                            start_time_unix_us=rng.choice([dirty_time(rng)] * 9 + [2**63 - 1, -(2**63)]))
    block.time_delta_us.extend([0] * bool(count))
    block.time_delta_us.extend(rng.choice([1, 10**6, 2**32 - 1]) for _ in range(count - 1))
    for signal in SIGNALS:
        if rng.random() < 0.6:
            length = count if rng.random() < 0.95 else rng.randrange(count + 2)
            getattr(block, signal).extend(rng.choice(GOOD_VALUES * 12 + BAD_VALUES) for _ in range(length))
    return block, count


def dirty_batch(rng: random.Random, device: str, sequence: int) -> tuple[pb.Batch, int]:
    """A batch and how many readings it has. Blocks are well-formed: malformed ones have their own test."""
    batch = pb.Batch(sequence=sequence, readings=[dirty_reading(rng, device) for _ in range(rng.randrange(1, 40))])
    count = len(batch.readings)
    for _ in range(rng.randrange(3)):
        block, samples = dirty_block(rng, device)
        lengths = [len(getattr(block, signal)) for signal in SIGNALS]
        if any(length not in (0, samples) for length in lengths):
            continue
        batch.blocks.append(block)
        count += samples
    return batch, count


class Ledger:
    """Adds up answers and compares them with the tables."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()

    def add(self, result: pb.BatchResult, received: int) -> None:
        counts = {name: getattr(result, name) for name in ("stored", "duplicate", "quarantined", "rejected")}
        assert sum(counts.values()) == received
        self.totals.update(counts)
        by_outcome: Counter[int] = Counter()
        end = 0
        for verdict in result.verdicts:
            assert end <= verdict.first_index < verdict.first_index + verdict.count <= received
            end = verdict.first_index + verdict.count
            by_outcome[verdict.outcome] += verdict.count
            if verdict.outcome == pb.Verdict.OUTCOME_QUARANTINED:
                self.reasons[verdict.reason, verdict.field] += verdict.count
        assert by_outcome[pb.Verdict.OUTCOME_DUPLICATE] == result.duplicate
        assert by_outcome[pb.Verdict.OUTCOME_QUARANTINED] == result.quarantined
        assert by_outcome[pb.Verdict.OUTCOME_REJECTED] == result.rejected

    def compare(self, server: Espd, device: str, producer: str) -> None:
        assert min(self.totals.values()) > 0, "every outcome occurred"
        assert server.database.count("telemetry", f"device_id = '{device}'") == self.totals["stored"]
        letters = server.database.rows(
            "SELECT reason, field, device_id, encode(original, 'hex') AS original FROM dead_letters "
            f"WHERE producer_id = '{producer}'")
        assert len(letters) == self.totals["quarantined"]
        assert Counter((one["reason"], one["field"]) for one in letters) == self.reasons
        for letter in letters:
            assert pb.Reading.FromString(bytes.fromhex(letter["original"])).device_id == letter["device_id"]


@pytest.mark.parametrize("way", ["stream", "unary"])
def test_every_reading_of_dirty_batches_is_accounted_for(
        shared: Espd, channel: grpc.Channel, name: str, seed: str, is_full: bool, way: str):
    rng = random.Random(seed)
    ledger = Ledger()
    sent: list[tuple[pb.Batch, int]] = []
    for sequence in range(1, 2001 if is_full else 201):
        sent.append(dirty_batch(rng, name, sequence))
        if rng.random() < 0.1:
            sent.append(rng.choice(sent))
    if way == "stream":
        with IngestStream(channel, name) as stream:
            stream.opened()
            stream.send_batches(batch for batch, _ in sent)
            for _, received in sent:
                ledger.add(stream.result(), received)
    else:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        for batch, received in sent:
            request = pb.IngestRequest(producer_id=name, sequence=batch.sequence, readings=batch.readings,
                                       blocks=batch.blocks, ack_level=pb.ACK_LEVEL_COMMITTED)
            ledger.add(stub.Ingest(request, timeout=30).result, received)
    ledger.compare(shared, name, name)


def test_readings_without_producer_are_accounted_for_too(shared: Espd, channel: grpc.Channel, name: str, seed: str):
    """Unary calls that share a transaction get each its own answer."""
    rng = random.Random(seed)
    stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
    before = shared.database.count("dead_letters", "producer_id = ''")
    sent = [dirty_batch(rng, name, 0) for _ in range(100)]
    calls = [stub.Ingest.future(pb.IngestRequest(readings=batch.readings, blocks=batch.blocks,
                                             ack_level=pb.ACK_LEVEL_COMMITTED), timeout=60)
             for batch, _ in sent]
    ledger = Ledger()
    for call, (_, received) in zip(calls, sent, strict=True):
        ledger.add(call.result(timeout=60).result, received)
    assert shared.database.count("telemetry", f"device_id = '{name}'") == ledger.totals["stored"]
    assert shared.database.count("dead_letters", "producer_id = ''") - before == ledger.totals["quarantined"]
