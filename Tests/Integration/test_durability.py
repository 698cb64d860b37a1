"""A journal that is full, a reading that the database refuses, a disk that fails: said clearly, and nothing acknowledged
is lost. What dies and is away meanwhile: Tests/Crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from espclient.channel import open_channel
from espclient.protocol import admin_pb2, admin_pb2_grpc, telemetry_pb2_grpc
from espclient.protocol import telemetry_pb2 as pb

from cluster import Cluster
from espd_process import Espd, wait_for
from ingest_stream import IngestStream, detail, make_batch
from readings import Feed
from sender import Sender, assert_stored_once

SMALL_JOURNAL = {"ESP_JOURNAL_SEGMENT_MIB": "8", "ESP_JOURNAL_MAX_MIB": "64"}
"""48 MiB for live batches."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def server_info(espd: Espd) -> admin_pb2.GetServerInfoResponse:
    with open_channel(espd.target) as channel:
        return admin_pb2_grpc.AdminServiceStub(channel).GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=20)


def quotas(espd: Espd) -> list[admin_pb2.Quota]:
    with open_channel(espd.target) as channel:
        return list(admin_pb2_grpc.AdminServiceStub(channel).GetQuota(admin_pb2.GetQuotaRequest(), timeout=20).quotas)


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
            except grpc.RpcError as error:
                refusal = error
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
        (full,) = (quota for quota in quotas(espd) if quota.part == "live")
        assert (full.subject, full.limit, full.unit) == ("journal", 48 << 20, "B")
        assert f"{full.used} of {full.limit} bytes" in refusal.details(), "the refusal says the same"
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
