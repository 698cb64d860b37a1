"""The journal's disk is full, read-only or failing: it is said clearly, nothing acknowledged is lost, and it passes.

The small disks are file systems in memory, in a mount namespace of their own: these tests need root.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from espclient import StoreAndForward
from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from cluster import Cluster
from espd_process import Espd, wait_for
from ingest_stream import detail, make_batch
from readings import Feed
from sender import assert_stored_once
from test_journal_disk import SmallDisk
from test_kills import cursor

SMALL = {"ESP_MAX_MESSAGE_MIB": "1", "ESP_JOURNAL_SEGMENT_MIB": "2", "ESP_JOURNAL_MAX_DISK_PERCENT": "95"}
"""With segments of 2 MiB two journals begin with about 8 MiB."""


class Forwarded:
    """A context: a thread-safe sender of a feed with a spool, and all that it says."""

    def __init__(self, espd: Espd, feed: Feed) -> None:
        self.feed = feed
        self.events: list[str] = []
        self.acked = 0
        self.sender = StoreAndForward(espd.target, feed.name, espd.folder / "spool", on_event=self.events.append,
                                      on_result=self._answered)

    def _answered(self, result: pb.BatchResult, _: object) -> None:
        assert result.ack_level >= pb.ACK_LEVEL_DURABLE
        self.acked = result.sequence

    def __enter__(self) -> Forwarded:
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.close()

    def send(self, batches: int) -> None:
        for _ in range(batches):
            self.sender.send(self.feed.batch(self.sender.newest + 1))

    def finish(self, cluster: Cluster) -> None:
        """All arrives, once, and nothing that was acknowledged was ever forgotten."""
        assert self.sender.flush(90), self.events[-3:]
        assert (self.sender.lost_batches, self.sender.forgotten_batches) == (0, 0)
        last = self.sender.newest
        wait_for(lambda: cursor(cluster, self.feed.name) == last, "all is in the database", 90)
        assert_stored_once(cluster.database, self.feed, last)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", "size=12m,mode=755") as disk:
        yield disk


def on_disk(make_espd: Callable[..., Espd], cluster: Cluster, disk: SmallDisk) -> Espd:
    """A server whose data folder lies on the small disk."""
    espd = make_espd(ESP_DATABASE_URL=cluster.url, **SMALL)
    espd.data = disk.folder / "data"
    return espd


def start(espd: Espd, disk: SmallDisk) -> None:
    espd.launch(disk.enter)
    espd.await_ready()


def test_a_full_disk_is_resource_exhausted_and_passes_when_there_is_space(
        make_espd: Callable[..., Espd], cluster: Cluster, disk: SmallDisk, name: str):
    espd = on_disk(make_espd, cluster, disk)
    start(espd, disk)
    request = pb.IngestRequest(readings=make_batch(f"unary-{name}", 1, 5000).readings)
    with open_channel(espd.target) as channel, Forwarded(espd, Feed(name, readings=500)) as forwarded:
        ingest = telemetry_pb2_grpc.TelemetryServiceStub(channel).Ingest
        forwarded.send(5)
        assert forwarded.sender.flush(30)
        cluster.stop("immediate")
        taken, refusal = 0, None
        while refusal is None:
            forwarded.send(5)
            try:
                taken += ingest(request, timeout=30).result.stored
            except grpc.RpcError as error:
                refusal = error
        assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, refusal
        assert "disk" in refusal.details(), refusal.details()
        assert detail(refusal, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
        forwarded.send(20)
        # Streams are held, not broken, and the server lives.
        assert not forwarded.sender.flush(0.5)
        assert forwarded.events == []
        held = forwarded.acked
        disk.remount("size=64m")
        wait_for(lambda: forwarded.acked > held, "the stream goes on with the new space", 30)
        cluster.start()
        forwarded.finish(cluster)
        taken += ingest(request, timeout=30).result.stored
        assert forwarded.events == [], "the gateway was told of it"
    wait_for(lambda: cluster.database.count("telemetry", f"device_id = 'unary-{name}'") == taken, "the calls' rows", 60)
    espd.stop()


def test_a_full_disk_while_the_server_is_killed_loses_nothing(
        make_espd: Callable[..., Espd], cluster: Cluster, disk: SmallDisk, name: str):
    espd = on_disk(make_espd, cluster, disk)
    start(espd, disk)
    with Forwarded(espd, Feed(name, readings=500)) as forwarded:
        forwarded.send(5)
        assert forwarded.sender.flush(30)
        cluster.stop("immediate")
        before = -1
        while before != forwarded.acked:
            before = forwarded.acked
            forwarded.send(40)
            forwarded.sender.flush(1)
        espd.kill()
        disk.remount("size=64m")
        cluster.start()
        start(espd, disk)
        forwarded.finish(cluster)
    espd.stop()


def test_a_journal_that_cannot_be_written_is_an_error_at_the_start(
        make_espd: Callable[..., Espd], cluster: Cluster, disk: SmallDisk, name: str):
    espd = on_disk(make_espd, cluster, disk)
    start(espd, disk)
    with Forwarded(espd, Feed(name, readings=500)) as forwarded:
        forwarded.send(5)
        assert forwarded.sender.flush(30)
        cluster.stop("immediate")
        forwarded.send(5)
        assert forwarded.sender.flush(30), "acknowledged, and in the journal alone"
        espd.kill()
        cluster.start()
        disk.remount("ro")
        espd.launch(disk.enter)
        assert espd.wait(60) == 1
        said = espd.log_tail().splitlines()[-1]
        assert "Read-only file system" in said and str(espd.data) in said, said
        forwarded.send(5)
        disk.remount("rw")
        start(espd, disk)
        forwarded.finish(cluster)
    espd.stop()


@pytest.mark.skipif(shutil.which("fiu-run") is None, reason="fiu-utils is not installed")
def test_a_disk_that_fails_under_a_stream_loses_nothing(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str):
    espd = make_espd(ESP_DATABASE_URL=cluster.url, **SMALL)
    control = espd.start_under_fiu()
    with Forwarded(espd, Feed(name, readings=500)) as forwarded:
        forwarded.send(5)
        assert forwarded.sender.flush(30)
        control("enable name=posix/io/sync/fdatasync,failinfo=5")
        acked = forwarded.acked
        forwarded.send(10)
        wait_for(lambda: forwarded.events, "the server says that its disk failed")
        time.sleep(0.5)
        assert forwarded.acked == acked, "acknowledged without a sync"
        assert "Input/output error" in espd.log.read_text()
        espd.kill()
        espd.start()
        forwarded.finish(cluster)
    espd.stop()
