"""PostgreSQL is away for a while: a gateway with a spool sees nothing of it, and the server catches up.

6 s at 5,000 readings a second; full: 2 minutes, with the speed of the catching up held to its bound.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from espclient import StoreAndForward
from espclient.protocol import telemetry_pb2 as pb

from cluster import Cluster
from espd_process import Espd, wait_for
from readings import Feed
from sender import assert_stored_once
from test_kills import cursor

READINGS = 500
RATE = 10
"""Batches a second."""
LEAST_CATCH_UP = 5
"""Times as fast as the readings come (issue 4)."""


def test_an_outage_reaches_no_gateway_and_is_caught_up(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str, is_full: bool):
    seconds = 120 if is_full else 6
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    feed = Feed(name, readings=READINGS)
    events: list[str] = []
    results: list[pb.BatchResult] = []
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        began, number = time.monotonic(), 0
        try:
            while not stop.is_set():
                number += 1
                batch = feed.batch(number)
                stop.wait(max(0, began + number / RATE - time.monotonic()))
                assert sender.send(batch) == number
        except BaseException as failure:  # noqa: BLE001: handed over to the test
            failures.append(failure)

    with StoreAndForward(espd.target, name, espd.folder / "spool", on_event=events.append,
                         on_result=lambda result, _: results.append(result)) as sender:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_for(lambda: results, "it begins")
        cluster.stop("immediate")
        stopped, before = time.monotonic(), len(results)
        while time.monotonic() - stopped < seconds:
            reached = len(results)
            wait_for(lambda old=reached: len(results) > old, "acks go on without a database", 10)
        during = len(results) - before
        outage = time.monotonic() - stopped
        assert during > RATE * outage / 3, f"{during} acks in {outage:.0f} s"
        cluster.start()
        started, missed = time.monotonic(), len(results)
        behind = missed - cursor(cluster, name)
        wait_for(lambda: cursor(cluster, name) >= missed, "the database has caught up", 300)
        took = time.monotonic() - started
        stop.set()
        thread.join(60)
        assert not failures, failures
        assert sender.flush(60)
        sent = sender.newest
        assert (sender.lost_batches, sender.forgotten_batches) == (0, 0)
    speed = behind / RATE / took
    print(f"{outage:.0f} s without a database: {during} acks, {behind} batches caught up in {took:.1f} s, "
          f"{speed:.1f} times real time")
    assert events == [], "the gateway was told of it"
    assert [result.sequence for result in results] == list(range(1, sent + 1))
    assert {result.ack_level for result in results} == {pb.ACK_LEVEL_DURABLE}
    if is_full:
        assert speed >= LEAST_CATCH_UP
    wait_for(lambda: cursor(cluster, name) == sent, "all is in the database", 120)
    assert_stored_once(cluster.database, feed, sent)
    disorder = cluster.database.value(f"""
      SELECT count(*) FROM (SELECT ingestion_timestamp < lag(ingestion_timestamp) OVER (ORDER BY timestamp) AS wrong
      FROM telemetry WHERE device_id LIKE '{name}-%') t WHERE wrong""")
    assert disorder == 0, "rows of the producer are not in order"
    espd.stop()
