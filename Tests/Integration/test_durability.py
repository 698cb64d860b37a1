"""What is acknowledged as durable is in the database in the end, once: whatever is killed, away or full meanwhile.

Full (ESP_TEST_FULL=1): 1,000,000 readings with 200 kills and 20 restarts of the database; an outage of 2 minutes; 1,000
streams at a dead database.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from espclient.channel import open_channel
from espclient.protocol import admin_pb2, admin_pb2_grpc, telemetry_pb2_grpc
from espclient.protocol import telemetry_pb2 as pb

from cluster import Cluster
from espd_process import Espd, environment, wait_for
from ingest_stream import IngestStream, detail, make_batch
from readings import Feed
from sender import Sender, assert_stored_once

HERE = Path(__file__).resolve().parent
SMALL_JOURNAL = {"ESP_JOURNAL_SEGMENT_MIB": "8", "ESP_JOURNAL_MAX_MIB": "64"}
"""48 MiB for live batches."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def server_info(espd: Espd) -> admin_pb2.GetServerInfoResponse:
    with open_channel(espd.target) as channel:
        return admin_pb2_grpc.AdminServiceStub(channel).GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=20)


def cursor(cluster: Cluster, producer: str) -> int:
    found = cluster.database.rows(f"SELECT last_sequence FROM producer_cursor WHERE producer_id = '{producer}'")
    return found[0]["last_sequence"] if found else 0


class Gateway:
    """A `crash_sender.py`, started again after each kill until it has sent all."""

    def __init__(self, espd: Espd, feed: Feed, level: str, historical: bool, batches: int) -> None:
        self.feed, self.batches = feed, batches
        self._command = [sys.executable, "-B", HERE / "crash_sender.py", espd.target, feed.name, level,
                         str(int(historical)), str(feed.readings), str(batches),
                         str(feed.start_us), espd.folder / f"{feed.name}.acks"]
        self._environment = environment({}) | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.PIPE, text=True)

    def kill(self) -> None:
        """kill -9 and start again, unless all is sent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
            self.start()
        else:
            self.finish(1)

    def finish(self, timeout: float) -> None:
        _, errors = self._process.communicate(timeout=timeout)
        assert self._process.returncode == 0, errors

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_clients_server_and_database_are_killed_at_random_moments(
        make_espd: Callable[..., Espd], cluster: Cluster, seed: str, is_full: bool):
    rng = random.Random(seed)
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    kills, restarts, batches, readings = (200, 20, 500, 500) if is_full else (8, 2, 60, 200)
    levels = [("accepted", False), ("durable", False), ("committed", False), ("durable", True)]
    gateways = [Gateway(espd, Feed(f"gateway-{number}", readings=readings), level, historical, batches)
                for number, (level, historical) in enumerate(levels)]
    try:
        moments = ["espd"] * (kills // 2) + ["gateway"] * (kills - kills // 2) + ["database"] * restarts
        rng.shuffle(moments)
        for moment in moments:
            time.sleep(rng.uniform(0, 0.5))
            if moment == "espd":
                espd.kill()
                espd.start()
            elif moment == "gateway":
                rng.choice(gateways).kill()
            else:
                rng.choice([cluster.stop, cluster.kill, lambda: cluster.stop("immediate")])()
                cluster.start()
        for gateway in gateways:
            gateway.finish(600 if is_full else 120)
    finally:
        for gateway in gateways:
            gateway.end()
    for gateway in gateways:
        wait_for(lambda name=gateway.feed.name: cursor(cluster, name) == batches, "all is in the database", 120)
        assert_stored_once(cluster.database, gateway.feed, batches)
    espd.stop()


def test_an_outage_of_the_database_is_not_seen(make_espd: Callable[..., Espd], cluster: Cluster, name: str,
                                               is_full: bool):
    """5,000 readings a second in batches of 500; acknowledgements go on at DURABLE."""
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    seconds = 120 if is_full else 6
    feed = Feed(name, readings=500)
    batches = [feed.batch(number) for number in range(1, seconds * 10 + 1)]

    class Paced(Feed):
        def batch(self, number: int) -> pb.Batch:
            time.sleep(max(0, began + number / 10 - time.monotonic()))
            return batches[number - 1] if number <= len(batches) else super().batch(number)

    began = time.monotonic()
    with Sender(espd.target, Paced(name, readings=500), ack="durable") as sender:
        sender.await_progress()
        cluster.stop("immediate")
        stopped = time.monotonic()
        while time.monotonic() - stopped < seconds:
            sender.await_progress(5)
        missed = sender.answered - 1
        cluster.start()
        started = time.monotonic()
        reached = sender.answered
        wait_for(lambda: cursor(cluster, name) >= reached, "the database has caught up", 120)
        caught_up = time.monotonic() - started
        sent = sender.finish()
        assert sender.events == [], "the client was told of it"
    wait_for(lambda: cursor(cluster, name) == sent, "all is in the database")
    print(f"{missed} batches in {caught_up:.1f} s: {missed / 10 / caught_up:.1f} times real time")
    if is_full:
        assert missed / 10 >= 5 * caught_up
    assert_stored_once(cluster.database, feed, sent)
    rows = cluster.database.rows(f"""
      SELECT count(*) AS wrong FROM (SELECT ingestion_timestamp < lag(ingestion_timestamp) OVER (ORDER BY timestamp)
      AS is_wrong FROM telemetry WHERE device_id LIKE '{name}-%') t WHERE is_wrong""")
    assert rows == [{"wrong": 0}], "not in order"
    espd.stop()


def test_a_full_journal_refuses_calls_holds_streams_and_loses_nothing(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str):
    espd = make_espd(ESP_DATABASE_URL=cluster.url, **SMALL_JOURNAL).start()
    feed = Feed(name, readings=5000)
    with open_channel(espd.target) as channel, Sender(espd.target, feed, ack="durable") as sender:
        sender.await_progress()
        cluster.stop("immediate")
        ingest = telemetry_pb2_grpc.TelemetryServiceStub(channel).Ingest
        request = pb.IngestRequest(readings=make_batch("unary", 1, 5000).readings)
        taken = 0
        while True:
            try:
                taken += ingest(request, timeout=30).result.stored
            except grpc.RpcError as refusal:
                assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, refusal
                assert "the journal is full" in refusal.details()
                assert str(48 << 20) in refusal.details()
                assert detail(refusal, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
                (violation,) = detail(refusal, error_details_pb2.QuotaFailure).violations
                assert violation.subject == "journal"
                break
        info = server_info(espd)
        assert [journal.condition for journal in info.journals] == [
            admin_pb2.JOURNAL_CONDITION_FULL, admin_pb2.JOURNAL_CONDITION_OK]
        assert info.ingest.in_flight > 0
        cluster.start()
        wait_for(lambda: server_info(espd).journals[0].condition == admin_pb2.JOURNAL_CONDITION_OK, "there is room", 60)
        taken += ingest(request, timeout=30).result.stored
        batches = sender.finish()
        assert sender.events == [], "the stream was told of it"
    wait_for(lambda: server_info(espd).ingest.in_flight == 0, "all is in the database", 60)
    assert_stored_once(cluster.database, feed, batches)
    assert cluster.database.count("telemetry", "device_id = 'unary'") == taken
    ingest = server_info(espd).ingest
    assert ingest.received == ingest.stored == taken + batches * 5000
    espd.stop()


def test_many_streams_at_a_dead_database_wait_in_the_budget_and_go_on(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str, is_full: bool):
    """All levels; more than memory or journal may hold."""
    espd = make_espd(ESP_DATABASE_URL=cluster.url, ESP_MEMORY_BUDGET_MIB="96", **SMALL_JOURNAL).start()
    streams, batches = (1000, 10) if is_full else (60, 16)
    levels = [pb.ACK_LEVEL_ACCEPTED, pb.ACK_LEVEL_DURABLE, pb.ACK_LEVEL_COMMITTED]
    with open_channel(espd.target) as channel:
        opened = [IngestStream(channel, f"{name}-{number}", timeout=600, level=levels[number % 3])
                  for number in range(streams)]
        for stream in opened:
            stream.opened()
        cluster.stop("immediate")
        for number, stream in enumerate(opened):
            stream.send_batches(make_batch(f"{name}-{number}", sequence, 1000)
                                for sequence in range(1, batches + 1))
        time.sleep(60 if is_full else 5)
        assert espd.resident_bytes < (96 + 64 + 40) << 20, "memory within budget"
        cluster.start()
        for stream in opened:
            assert [stream.result().sequence for _ in range(batches)] == list(range(1, batches + 1))
            stream.end()
            assert stream.status()[0] is grpc.StatusCode.OK
    wait_for(lambda: server_info(espd).ingest.in_flight == 0, "all is in the database", 120)
    rows = cluster.database.rows(f"SELECT count(*) AS rows, count(DISTINCT (device_id, timestamp)) AS readings "
                                 f"FROM telemetry WHERE device_id LIKE '{name}-%'")
    assert rows == [{"rows": streams * batches * 1000, "readings": streams * batches * 1000}]
    espd.stop()


def test_a_poisonous_reading_is_quarantined_alone(make_espd: Callable[..., Espd], cluster: Cluster, name: str):
    """A rule of the database that validation does not know, as an operator's trigger."""
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    cluster.database.run("""
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.temperature = 66 THEN RAISE EXCEPTION 'no 66' USING ERRCODE = '23514'; END IF; RETURN NEW; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON telemetry FOR EACH ROW EXECUTE FUNCTION refuse()""")
    with open_channel(espd.target) as channel, IngestStream(channel, name) as stream:
        stream.opened()
        batch = make_batch(name, 1, 1000)
        for place in (0, 499, 500, 999):
            batch.readings[place].temperature = 66
        stream.send_batches([batch, make_batch(name, 2, 1000)])
        result = stream.result()
        assert (result.stored, result.quarantined) == (996, 4)
        assert [(v.first_index, v.count, v.reason) for v in result.verdicts] == [
            (0, 1, "STORE_FAILED"), (499, 2, "STORE_FAILED"), (999, 1, "STORE_FAILED")]
        assert stream.result().stored == 1000
    assert cluster.database.count("telemetry", f"device_id = '{name}'") == 1996
    letters = cluster.database.rows("SELECT reason, producer_id, sequence, encode(original, 'hex') AS original "
                                    "FROM dead_letters ORDER BY reading_timestamp")
    originals = [pb.Reading.FromString(bytes.fromhex(letter.pop("original"))) for letter in letters]
    assert originals == [batch.readings[place] for place in (0, 499, 500, 999)]
    assert letters == [{"reason": "STORE_FAILED", "producer_id": name, "sequence": 1}] * 4
    espd.stop()


def test_a_failing_disk_is_said_at_once_and_nothing_acknowledged_is_lost(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str):
    """fdatasync fails: the journal takes nothing more, health says so; the next start has all that was durable."""
    espd = make_espd(ESP_DATABASE_URL=cluster.url)
    control = espd.start_under_fiu()
    with open_channel(espd.target) as channel, IngestStream(channel, name, level=pb.ACK_LEVEL_DURABLE) as stream:
        stream.opened()
        stream.send_batches([make_batch(name, 1)])
        assert stream.result().ack_level == pb.ACK_LEVEL_DURABLE
        control("enable name=posix/io/sync/fdatasync,failinfo=5")
        stream.send_batches([make_batch(name, 2)])
        assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
        ingest = telemetry_pb2_grpc.TelemetryServiceStub(channel).Ingest
        with pytest.raises(grpc.RpcError) as refused:
            ingest(pb.IngestRequest(readings=make_batch(name, 3).readings), timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "its log says why" in refused.value.details()
        health = health_pb2_grpc.HealthStub(channel)
        wait_for(lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 2, "health says so")
    assert server_info(espd).journals[0].condition == admin_pb2.JOURNAL_CONDITION_FAILED
    assert "Input/output error" in espd.log.read_text()
    espd.kill()
    espd.start()
    with open_channel(espd.target) as channel, IngestStream(channel, name) as stream:
        last = stream.opened().last_sequence
        assert last in (1, 2), "what was not synced may be there or not"
        stream.send_batches([make_batch(name, sequence) for sequence in range(last + 1, 4)])
        for _ in range(last + 1, 4):
            stream.result()
    assert cluster.database.count("telemetry", f"device_id = '{name}'") == 9
    espd.stop()
