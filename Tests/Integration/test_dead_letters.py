"""Dead letters over gRPC: listed as they were sent, stored exactly once when they are valid, discarded on purpose.

Full (ESP_TEST_FULL=1): 20 kills during a requeue instead of 4.
"""

from __future__ import annotations

import random
import threading
import time

import grpc
import pytest

from espclient.channel import open_channel
from espclient.deadletters import (DeadLetterFilter, Requeued, discard_dead_letters, list_dead_letters,
                                   requeue_dead_letters)
from espclient.errors import EspError, Refused
from espclient.protocol import dead_letter_pb2 as dead
from espclient.protocol import dead_letter_pb2_grpc, telemetry_pb2_grpc
from espclient.protocol import telemetry_pb2 as pb

from espd_process import Espd, wait_for

DAY_US = 86_400 * 10**6


def now_us() -> int:
    return int(time.time() * 1e6)


def reading(device: str, time_us: int, temperature: float = 80.0) -> pb.Reading:
    message = pb.Reading(device_id=device, temperature=temperature)
    message.timestamp.FromMicroseconds(time_us)
    return message


def send(server: Espd, readings: list[pb.Reading], producer: str = "", sequence: int = 0) -> pb.BatchResult:
    with open_channel(server.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        request = pb.IngestRequest(producer_id=producer, sequence=sequence, readings=readings,
                                   ack_level=pb.ACK_LEVEL_COMMITTED)
        return stub.Ingest(request, timeout=30).result


@pytest.fixture
def dead_stub(channel: grpc.Channel) -> dead_letter_pb2_grpc.DeadLetterServiceStub:
    return dead_letter_pb2_grpc.DeadLetterServiceStub(channel)


def test_a_dead_letter_is_listed_as_it_was_sent(shared: Espd, name: str):
    before = now_us()
    hot = reading(name, before, 250.0)
    hot.quality, hot.source_system = 7, "plc"
    nothing = pb.Reading(device_id=name)
    nothing.timestamp.FromMicroseconds(before)
    assert send(shared, [hot, nothing], name, 1).quarantined == 2
    letters = list(list_dead_letters(shared.target, DeadLetterFilter(producer_id=name), include_original=True))
    assert [(letter.reason, letter.field) for letter in letters] == [("NO_SIGNALS", ""), ("OUT_OF_RANGE", "temperature")]
    letter = letters[1]
    assert letter.reading == hot
    assert pb.Reading.FromString(letter.original) == hot
    assert (letter.device_id, letter.producer_id, letter.sequence, letter.attempts) == (name, name, 1, 1)
    assert letter.reading_timestamp == hot.timestamp
    assert letter.principal == ""
    assert before - 10**6 <= letter.received_time.ToMicroseconds() <= now_us()
    assert letter.last_attempt_time == letter.received_time
    assert not list(list_dead_letters(shared.target, DeadLetterFilter(producer_id=name)))[0].original


def test_readings_without_a_producer_show_none(shared: Espd, name: str):
    assert send(shared, [reading(name, now_us(), 250.0)]).quarantined == 1
    (letter,) = list_dead_letters(shared.target, DeadLetterFilter(producer_id="", device_id=name))
    assert (letter.producer_id, letter.sequence) == ("", 0)
    assert not list(list_dead_letters(shared.target, DeadLetterFilter(producer_id=name, device_id=name)))


def test_filters_by_producer_reason_device_and_time(shared: Espd, name: str):
    future = reading(f"{name}-b", now_us() + 3600 * 10**6)
    assert send(shared, [reading(f"{name}-a", now_us(), 250.0), future], name, 1).quarantined == 2

    def found(**chosen: object) -> list[str]:
        return sorted(letter.device_id[-1] for letter in list_dead_letters(
            shared.target, DeadLetterFilter(producer_id=name, **chosen)))

    assert found() == ["a", "b"]
    assert found(reason="OUT_OF_RANGE") == ["a"]
    assert found(reason="TIMESTAMP_IN_FUTURE") == ["b"]
    assert found(reason="SOMETHING_NEWER") == []
    assert found(device_id=f"{name}-b") == ["b"]
    assert found(start_us=now_us() - 60 * 10**6, end_us=now_us() + 10**6) == ["a", "b"]
    assert found(end_us=now_us() - 3600 * 10**6) == []


def test_pages_give_each_once(dead_stub: dead_letter_pb2_grpc.DeadLetterServiceStub, shared: Espd, name: str):
    for sequence in (1, 2, 3):
        send(shared, [reading(name, now_us(), 250.0 + index) for index in range(5)], name, sequence)
    request, letters = dead.ListDeadLettersRequest(producer_id=name, limit=4), []
    while True:
        page = dead_stub.ListDeadLetters(request, timeout=30)
        letters += page.dead_letters
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len({letter.id for letter in letters}) == len(letters) == 15
    assert [letter.sequence for letter in letters] == [3] * 5 + [2] * 5 + [1] * 5
    # The token is this list's: not another's, and not cut short.
    for wrong in (dead.ListDeadLettersRequest(limit=4, page_token=request.page_token),
                  dead.ListDeadLettersRequest(producer_id=name, page_token=request.page_token[:-2])):
        with pytest.raises(grpc.RpcError) as failed:
            dead_stub.ListDeadLetters(wrong, timeout=30)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "page_token" in failed.value.details()


def bad_selections(name: str) -> list[tuple[dict[str, object], str]]:
    some = dead.DeadLetterFilter(producer_id=name)
    late = dead.DeadLetterFilter()
    late.start_time.seconds = 10
    late.end_time.seconds = 5
    no_time = dead.DeadLetterFilter()
    no_time.start_time.nanos = -1
    return [
        ({}, "filter"), ({"filter": dead.DeadLetterFilter()}, "filter"), ({"id": [1], "all": True}, "filter"),
        ({"id": [1], "filter": some}, "filter"), ({"filter": some, "all": True}, "filter"), ({"id": [0]}, "id"),
        ({"id": [-5]}, "id"), ({"id": range(1, 1002)}, "id"), ({"filter": late}, "filter.start_time"),
        ({"filter": no_time}, "filter.start_time"), ({"filter": dead.DeadLetterFilter(reason="out")}, "filter.reason"),
        ({"filter": dead.DeadLetterFilter(reason="X" * 65)}, "filter.reason"),
        ({"filter": dead.DeadLetterFilter(device_id="a b")}, "filter.device_id"),
        ({"filter": dead.DeadLetterFilter(producer_id="~server")}, "filter.producer_id"),
    ]


def test_a_selection_that_is_none_is_refused_and_does_nothing(
        dead_stub: dead_letter_pb2_grpc.DeadLetterServiceStub, shared: Espd, name: str):
    send(shared, [reading(name, now_us(), 250.0)], name, 1)
    for fields, at_fault in bad_selections(name):
        for call, request in ((dead_stub.RequeueDeadLetters, dead.RequeueDeadLettersRequest),
                              (dead_stub.DiscardDeadLetters, dead.DiscardDeadLettersRequest)):
            with pytest.raises(grpc.RpcError) as failed:
                call(request(**fields), timeout=30)
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (fields, failed.value)
            assert failed.value.details().startswith(f"{at_fault}: "), (fields, failed.value.details())
    with pytest.raises(grpc.RpcError) as failed:
        dead_stub.ListDeadLetters(dead.ListDeadLettersRequest(limit=1001), timeout=30)
    assert failed.value.details().startswith("limit: ")
    assert shared.database.count("dead_letters", f"producer_id = '{name}'") == 1


def test_an_unknown_id_is_named_and_nothing_is_done(shared: Espd, name: str):
    send(shared, [reading(name, now_us(), 250.0)], name, 1)
    (letter,) = list_dead_letters(shared.target, DeadLetterFilter(producer_id=name))
    missing = 2**62
    for act in (requeue_dead_letters, discard_dead_letters):
        with pytest.raises(Refused, match=f"NOT_FOUND.*{missing}"):
            act(shared.target, [letter.id, missing])
    (same,) = list_dead_letters(shared.target, DeadLetterFilter(producer_id=name))
    assert same == letter


def test_a_requeue_judges_by_the_rules_of_ingest(make_espd, name: str):
    """Old readings are refused by a server that takes a day, and stored by one that takes a week."""
    espd = make_espd(ESP_MAX_READING_AGE_DAYS="1").start()
    old, hot = reading(name, now_us() - 3 * DAY_US), reading(name, now_us(), 250.0)
    ancient = reading(name, now_us() - 30 * DAY_US)
    assert send(espd, [old, hot, ancient], name, 1).quarantined == 3
    chosen = DeadLetterFilter(producer_id=name)
    assert requeue_dead_letters(espd.target, chosen) == Requeued(0, 3)
    espd.stop()
    espd.settings["ESP_MAX_READING_AGE_DAYS"] = "7"
    espd.start()
    assert requeue_dead_letters(espd.target, chosen, dry_run=True) == Requeued(1, 2)
    assert espd.database.count("telemetry") == 0
    assert requeue_dead_letters(espd.target, chosen) == Requeued(1, 2)
    (row,) = espd.database.rows("SELECT device_id, (extract(epoch FROM timestamp) * 1e6)::bigint AS us, temperature, "
                                "source_system, is_anomaly, data_quality_score FROM telemetry")
    assert row == {"device_id": name, "us": old.timestamp.ToMicroseconds(), "temperature": 80, "source_system": "scada",
                   "is_anomaly": False, "data_quality_score": 1}
    left = {letter.reason: letter.attempts for letter in list_dead_letters(espd.target, chosen)}
    assert left == {"OUT_OF_RANGE": 3, "TIMESTAMP_TOO_OLD": 3}
    assert requeue_dead_letters(espd.target, DeadLetterFilter()) == Requeued(0, 2), "all of them, again"
    assert discard_dead_letters(espd.target, DeadLetterFilter(reason="OUT_OF_RANGE")) == 1
    assert discard_dead_letters(espd.target, DeadLetterFilter()) == 1
    assert espd.database.count("dead_letters") == 0
    assert espd.database.count("telemetry") == 1
    # The producer's cursor is none of a requeue's business.
    assert espd.database.value("SELECT last_sequence FROM producer_cursor WHERE producer_id = '%s'" % name) == 1
    espd.stop()


def test_kill_9_in_the_middle_of_requeues_stores_each_once(make_espd, name: str, seed: str, is_full: bool):
    rng = random.Random(seed)
    total = 12_000
    espd = make_espd(ESP_MAX_READING_AGE_DAYS="1").start()
    start = now_us() - 3 * DAY_US
    for sequence in range(1, 5):
        first = (sequence - 1) * total // 4
        batch = [reading(name, start + (first + index) * 1000, float(index % 100)) for index in range(total // 4)]
        assert send(espd, batch, name, sequence).quarantined == total // 4
    espd.stop()
    espd.settings["ESP_MAX_READING_AGE_DAYS"] = "7"
    espd.start()
    halves = 0
    for _ in range(20 if is_full else 4):
        before = espd.database.count("telemetry")
        ended: list[object] = []

        def requeue(target: str = espd.target, ended: list[object] = ended) -> None:
            try:
                ended.append(requeue_dead_letters(target, DeadLetterFilter(producer_id=name)))
            except EspError as error:
                ended.append(error)

        thread = threading.Thread(target=requeue)
        thread.start()
        wait_for(lambda ended=ended, before=before: ended or espd.database.count("telemetry") > before, "the requeue is under way")
        time.sleep(rng.uniform(0, 0.03))
        espd.kill()
        thread.join(60)
        assert len(ended) == 1
        espd.start()
        rows, letters = (espd.database.count(table) for table in ("telemetry", "dead_letters"))
        assert rows + letters == total
        halves += before < rows < total
    assert halves > 0, "none was killed in the middle: the test has proven nothing"
    while espd.database.count("dead_letters"):
        requeue_dead_letters(espd.target, DeadLetterFilter(producer_id=name))
    assert espd.database.count("telemetry") == total
    assert espd.database.value("SELECT count(DISTINCT timestamp) FROM telemetry") == total
    espd.stop()
