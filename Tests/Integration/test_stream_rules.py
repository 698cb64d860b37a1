"""The rules of sequences: resume, duplicate, gap, take-over; stream and unary calls of one producer together."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd, wait_for
from ingest_stream import IngestStream, detail, make_batch

Stub = telemetry_pb2_grpc.TelemetryServiceStub


def unary(stub: Stub, producer: str, sequence: int, readings: int = 3) -> pb.BatchResult:
    batch = make_batch(producer, sequence, readings)
    request = pb.IngestRequest(producer_id=producer, sequence=sequence, readings=batch.readings,
                               ack_level=pb.ACK_LEVEL_COMMITTED)
    return stub.Ingest(request, timeout=30).result


def counts(result: pb.BatchResult) -> tuple[int, int, int, int, int]:
    return result.sequence, result.stored, result.duplicate, result.quarantined, result.rejected


def rows_by_sequence(server: Espd, device: str) -> dict[int, int]:
    """How many rows came with each sequence: `make_batch` gives each its own thousand seconds."""
    rows = server.database.rows(
        f"SELECT temperature::int AS sequence, count(*) FROM telemetry WHERE device_id = '{device}' GROUP BY 1")
    return {row["sequence"]: row["count"] for row in rows}


def cursor(server: Espd, producer: str) -> int:
    return server.database.value(f"SELECT last_sequence FROM producer_cursor WHERE producer_id = '{producer}'")


def test_an_opened_stream_tells_cursor_and_limits(channel: grpc.Channel, name: str):
    with IngestStream(channel, name) as stream:
        opened = stream.opened()
    assert opened.last_sequence == 0
    assert opened.max_batch_readings == 100_000
    assert opened.max_message_bytes == 4 << 20
    assert opened.heartbeat_interval.ToTimedelta().total_seconds() == 30


def test_a_stream_resumes_where_the_last_one_ended(shared: Espd, channel: grpc.Channel, name: str):
    with IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches(make_batch(name, number) for number in (1, 2, 3))
        assert [counts(stream.result()) for _ in range(3)] == [(number, 3, 0, 0, 0) for number in (1, 2, 3)]
        stream.end()
        assert stream.status()[0] is grpc.StatusCode.OK
    with open_channel(shared.target) as other, IngestStream(other, name) as stream:
        assert stream.opened().last_sequence == 3
        stream.send_batches([make_batch(name, 4)])
        result = stream.result()
        assert counts(result) == (4, 3, 0, 0, 0)
        assert result.ack_level == pb.ACK_LEVEL_COMMITTED
    assert rows_by_sequence(shared, name) == {1: 3, 2: 3, 3: 3, 4: 3}


def test_a_sequence_that_is_stored_is_a_duplicate(shared: Espd, channel: grpc.Channel, name: str):
    with IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches(make_batch(name, number) for number in (1, 2, 1, 2, 2, 3))
        results = [counts(stream.result()) for _ in range(6)]
    assert results == [(1, 3, 0, 0, 0), (2, 3, 0, 0, 0), (1, 0, 3, 0, 0), (2, 0, 3, 0, 0), (2, 0, 3, 0, 0),
                       (3, 3, 0, 0, 0)]
    assert rows_by_sequence(shared, name) == {1: 3, 2: 3, 3: 3}


def test_a_duplicate_has_a_verdict(stub: Stub, name: str):
    unary(stub, name, 1)
    result = unary(stub, name, 1, readings=7)
    assert counts(result) == (1, 0, 7, 0, 0)
    (verdict,) = result.verdicts
    assert (verdict.first_index, verdict.count, verdict.outcome) == (0, 7, pb.Verdict.OUTCOME_DUPLICATE)
    assert (verdict.reason, verdict.retryable) == ("DUPLICATE_SEQUENCE", False)


def test_a_gap_ends_the_stream_naming_the_expected_sequence(shared: Espd, channel: grpc.Channel, name: str):
    with IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches([make_batch(name, 1)])
        stream.result()
        stream.send_batches([make_batch(name, 3)])
        code, message = stream.status()
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "the next one is 2" in message
        info = detail(stream.call, error_details_pb2.ErrorInfo)
        assert (info.domain, info.reason, info.metadata["expected_sequence"]) == ("esp", "SEQUENCE_GAP", "2")
    assert rows_by_sequence(shared, name) == {1: 3}


def test_a_gap_of_a_unary_call_is_the_same(stub: Stub, name: str):
    with pytest.raises(grpc.RpcError) as refused:
        unary(stub, name, 2)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert detail(refused.value, error_details_pb2.ErrorInfo).metadata["expected_sequence"] == "1"
    assert counts(unary(stub, name, 1)) == (1, 3, 0, 0, 0)


def test_results_that_were_due_come_before_a_gap(channel: grpc.Channel, name: str):
    """What was taken is answered or is found again: the cursor never lies."""
    with IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches(make_batch(name, number) for number in (1, 2, 4))
        answers = 0
        try:
            for answer in stream.call:
                answers += 1
                assert answer.result.sequence == answers
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    with IngestStream(channel, name) as stream:
        assert stream.opened().last_sequence == 2


def test_a_second_stream_takes_over(shared: Espd, channel: grpc.Channel, name: str):
    with open_channel(shared.target) as other, IngestStream(channel, name) as old:
        old.opened()
        old.send_batches([make_batch(name, 1)])
        old.result()
        with IngestStream(other, name) as new:
            assert new.opened().last_sequence == 1
            code, message = old.status()
            assert code is grpc.StatusCode.ABORTED
            assert name in message
            info = detail(old.call, error_details_pb2.ErrorInfo)
            assert (info.domain, info.reason) == ("esp", "TAKEN_OVER")
            new.send_batches([make_batch(name, 2)])
            assert counts(new.result()) == (2, 3, 0, 0, 0)
    assert rows_by_sequence(shared, name) == {1: 3, 2: 3}


def test_twenty_streams_that_fight_for_a_producer_store_each_sequence_once(shared: Espd, name: str, seed: str):
    rng = random.Random(seed)
    waits = [rng.uniform(0, 0.2) for _ in range(20)]

    def fight(wait: float) -> None:
        threading.Event().wait(wait)
        with open_channel(shared.target) as own, IngestStream(own, name) as stream:
            try:
                last = stream.opened().last_sequence
                stream.send_batches(make_batch(name, number) for number in range(last + 1, 51))
                for _ in range(last, 50):
                    stream.result()
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.ABORTED, error

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(fight, waits))
    with open_channel(shared.target) as own, IngestStream(own, name) as stream:
        last = stream.opened().last_sequence
    assert last == cursor(shared, name)
    assert rows_by_sequence(shared, name) == dict.fromkeys(range(1, last + 1), 3)


def test_unary_calls_between_the_batches_of_a_stream_move_the_same_cursor(
        shared: Espd, channel: grpc.Channel, stub: Stub, name: str):
    with IngestStream(channel, name) as stream:
        stream.opened()
        for number in range(1, 20, 2):
            stream.send_batches([make_batch(name, number)])
            assert counts(stream.result()) == (number, 3, 0, 0, 0)
            assert counts(unary(stub, name, number + 1)) == (number + 1, 3, 0, 0, 0)
        stream.send_batches([make_batch(name, 20)])
        assert counts(stream.result()) == (20, 0, 3, 0, 0)
    assert rows_by_sequence(shared, name) == dict.fromkeys(range(1, 21), 3)


def test_the_same_sequence_on_20_connections_at_once_is_stored_once(shared: Espd, name: str):
    start = threading.Barrier(20)

    def send(sequence: int) -> tuple[int, ...]:
        with open_channel(shared.target) as own:
            grpc.channel_ready_future(own).result(30)
            start.wait(30)
            return counts(unary(Stub(own), name, sequence, readings=50))

    with ThreadPoolExecutor(20) as pool:
        for sequence in (1, 2, 3):
            results = sorted(pool.map(send, [sequence] * 20))
            assert results == [(sequence, 0, 50, 0, 0)] * 19 + [(sequence, 50, 0, 0, 0)]
    assert rows_by_sequence(shared, name) == {1: 50, 2: 50, 3: 50}


def test_readings_without_a_producer_are_each_stored(shared: Espd, stub: Stub, name: str):
    batch = make_batch(name, 1)
    for _ in range(3):
        assert counts(stub.Ingest(pb.IngestRequest(readings=batch.readings), timeout=30).result) == (0, 3, 0, 0, 0)
    assert stub.IngestReading(pb.IngestReadingRequest(reading=batch.readings[0]), timeout=30).result.stored == 1
    wait_for(lambda: rows_by_sequence(shared, name) == {1: 10}, "all are in the table")


@pytest.mark.parametrize(
    ("requests", "phrase"),
    [
        ([pb.IngestStreamRequest(batch=pb.Batch(sequence=1))], "the first message of a stream is open"),
        ([pb.IngestStreamRequest()], "neither open nor batch"),
        ([pb.IngestStreamRequest(open=pb.OpenStream())], "producer_id"),
        ([pb.IngestStreamRequest(open=pb.OpenStream(producer_id="twice"))] * 2, "open comes once"),
        ([pb.IngestStreamRequest(open=pb.OpenStream(producer_id="zero")),
          pb.IngestStreamRequest(batch=pb.Batch(sequence=0))], "sequences are 1, 2, 3"),
    ],
)
def test_a_stream_against_the_rules_is_invalid(channel: grpc.Channel, requests: list[object], phrase: str):
    with IngestStream(channel, "", opens=False) as stream:
        for request in requests:
            stream.send(request)
        with pytest.raises(grpc.RpcError) as refused:
            list(stream.call)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert phrase in refused.value.details()


def test_a_field_at_fault_is_named_in_a_bad_request(stub: Stub):
    with pytest.raises(grpc.RpcError) as refused:
        stub.Ingest(pb.IngestRequest(), timeout=30)
    (violation,) = detail(refused.value, error_details_pb2.BadRequest).field_violations
    assert violation.field == "readings"
    assert violation.description


def test_a_batch_of_no_readings_moves_the_cursor(shared: Espd, channel: grpc.Channel, name: str):
    with IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches([pb.Batch(sequence=1), make_batch(name, 2)])
        assert [counts(stream.result()) for _ in range(2)] == [(1, 0, 0, 0, 0), (2, 3, 0, 0, 0)]
    assert cursor(shared, name) == 2


def test_a_stream_that_ends_before_it_opens_is_ok(channel: grpc.Channel):
    with IngestStream(channel, "", opens=False) as stream:
        stream.end()
        assert stream.status()[0] is grpc.StatusCode.OK


def test_sequences_near_the_end_of_uint64_are_a_gap(channel: grpc.Channel, name: str):
    with IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches([pb.Batch(sequence=2**64 - 1)])
        code, message = stream.status()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "the next one is 1" in message
