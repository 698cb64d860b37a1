"""ESP_DATABASE_URL: a database that somebody else runs, is not there, goes away and comes back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from espclient import ResumingStream

from cluster import PASSWORD, Cluster
from espd_process import Espd, free_port, run_espd
from readings import Feed
from sender import Sender, assert_stored_once


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def test_a_database_that_goes_away_during_a_stream_loses_and_doubles_nothing(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str, seed: str):
    rng = random.Random(seed)
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    assert not (espd.data / "postgres").exists(), "no database of its own"
    feed = Feed(name, readings=500)
    with Sender(espd.target, feed) as sender:
        for stop in (cluster.stop, lambda: cluster.stop("immediate"), cluster.kill):
            sender.await_progress()
            time.sleep(rng.uniform(0, 0.3))
            stop()
            time.sleep(rng.uniform(0.5, 2.5))
            cluster.start()
        sender.await_progress()
        batches = sender.finish()
        assert sender.events == [], "the client was told of it"
    assert_stored_once(cluster.database, feed, batches)
    espd.stop()
    assert PASSWORD not in espd.log.read_text()


def test_kill_9_of_espd_on_an_external_database(make_espd: Callable[..., Espd], cluster: Cluster, name: str, seed: str):
    rng = random.Random(seed)
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    feed = Feed(name, readings=500)
    with Sender(espd.target, feed) as sender:
        for _ in range(4):
            sender.await_progress()
            time.sleep(rng.uniform(0, 0.3))
            espd.kill()
            espd.start()
        batches = sender.finish()
    assert_stored_once(cluster.database, feed, batches)
    espd.stop()


def test_two_servers_on_one_database_take_a_producer_over_from_each_other(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str):
    """Two espd share an external database; the cursor in the database decides, not what one of them remembers."""
    first = make_espd(ESP_DATABASE_URL=cluster.url).start()
    second = make_espd(ESP_DATABASE_URL=cluster.url).start()
    feed = Feed(name, readings=100)
    for last, server in ((10, first), (20, second), (30, first), (40, second)):
        with ResumingStream(server.target, name) as stream:
            number = stream.open()
            while number < last:
                stream.send(feed.batch(number + 1))
                number += 1
    assert_stored_once(cluster.database, feed, 40)
    first.stop()
    second.stop()


def assert_clear_failure(url: str, *phrases: str) -> None:
    """Exit code 1 within seconds, one sentence that has the phrases and no password."""
    began = time.monotonic()
    done = run_espd("serve", "--listen", f"127.0.0.1:{free_port()}", ESP_DATABASE_URL=url)
    assert done.returncode == 1
    assert time.monotonic() - began < 15
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("espd: ")]
    assert len(lines) == 1, done.stderr
    for phrase in phrases:
        assert phrase in lines[0]
    assert "secret" not in done.stderr.replace("secrets", "")


def test_a_database_that_can_not_be_reached_is_named_by_host_and_port():
    port = free_port()
    assert_clear_failure(f"postgres://esp:topsecret@127.0.0.1:{port}/telemetry", "127.0.0.1", str(port))


def test_a_host_that_does_not_exist_is_named():
    assert_clear_failure("postgres://esp:topsecret@nowhere.invalid:5444/telemetry", "nowhere.invalid", "5444")


def test_a_url_that_is_none_does_not_show_what_may_be_a_password():
    assert_clear_failure("postgres://esp:topsecret@[127.0.0.1:x/", "postgres://user:password@host:5432/name")


def test_a_wrong_password_is_said(cluster: Cluster):
    assert_clear_failure(cluster.url.replace(PASSWORD, "topsecret"), "127.0.0.1", str(cluster.port), "password")


def test_a_database_that_does_not_exist_is_named(cluster: Cluster):
    assert_clear_failure(cluster.url.replace("/telemetry", "/nothing"), str(cluster.port), "nothing")
