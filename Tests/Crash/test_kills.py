"""Gateways with a spool, espd and its database are killed at random moments; the tables hold what was sent, once.

32,000 readings of four gateways, 10 kills, 2 restarts of the database; full: 1,000,000 readings, 200 and 20.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from espclient.protocol import telemetry_pb2 as pb

from cluster import Cluster
from espd_process import Espd, environment, wait_for
from readings import Checksum, Feed
from spool_gateway import Record

HERE = Path(__file__).resolve().parent
LEVELS = {"accepted": pb.ACK_LEVEL_ACCEPTED, "durable": pb.ACK_LEVEL_DURABLE, "committed": pb.ACK_LEVEL_COMMITTED}


class Gateway:
    """A `spool_gateway.py`, started again after each kill until the server has all."""

    def __init__(self, espd: Espd, feed: Feed, level: str, historical: bool, batches: int) -> None:
        self.feed, self.level, self.batches = feed, level, batches
        self.folder = espd.folder / feed.name
        self.folder.mkdir()
        self._command = [sys.executable, "-B", HERE / "spool_gateway.py", espd.target, feed.name, level,
                         str(int(historical)), str(feed.readings), str(batches), str(feed.start_us), self.folder]
        self._environment = environment({}) | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        self._start()

    def _start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stderr=log)

    def kill(self) -> bool:
        """kill -9 and start again; False when it had ended."""
        if self._process.poll() is not None:
            self.finish(1)
            return False
        self._process.kill()
        self._process.wait()
        self._start()
        return True

    def finish(self, timeout: float) -> None:
        code = self._process.wait(timeout)
        assert code == 0, (self.folder / "log").read_text()[-2000:]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def record(self, name: str) -> list[tuple[int, ...]]:
        return Record.read(self.folder / name)

    def check(self, cluster: Cluster) -> None:
        """Count and checksum of what the database holds are those of what was sent, less what ACCEPTED may lose."""
        lost = {number for first, last in self.record("lost") for number in range(first, last + 1)}
        levels = dict.fromkeys(range(1, self.batches + 1), 0)
        for sequence, level in self.record("acks"):
            levels[sequence] = max(levels[sequence], level)
        assert all(level in (0, LEVELS[self.level]) for level in levels.values()), "another level than wanted"
        if self.level == "accepted":
            assert all(levels[number] == pb.ACK_LEVEL_ACCEPTED for number in lost), "more than ACCEPTED may lose"
        else:
            assert not lost and not self.record("forgotten"), "the server forgot what it had acknowledged"
        sent = [number for (number,) in self.record("sent")]
        assert sent == sorted(set(sent)), "a batch was given twice"
        wanted = Checksum()
        for number in range(1, self.batches + 1):
            if number not in lost:
                wanted.add(self.feed.rows(number))
        stored = Checksum.stored(cluster.database, f"device_id LIKE '{self.feed.name}-%'")
        assert stored.count == wanted.count, f"{self.feed.name}: {stored.count - wanted.count:+} rows"
        assert stored == wanted
        print(f"{self.feed.name} at {self.level}: {stored.count} rows, {len(lost)} batches lost, "
              f"{len(self.record('forgotten'))} times forgotten, {len(self.record('acks'))} acks")


def cursor(cluster: Cluster, producer: str) -> int:
    found = cluster.database.rows(f"SELECT last_sequence FROM producer_cursor WHERE producer_id = '{producer}'")
    return found[0]["last_sequence"] if found else 0


def test_gateways_server_and_database_die_at_random_moments(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str, seed: str,
        is_full: bool):
    rng = random.Random(seed)
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    kills, restarts, batches, readings = (200, 20, 1000, 250) if is_full else (10, 2, 80, 100)
    ways = [("accepted", False), ("durable", False), ("committed", False), ("durable", True)]
    gateways = [Gateway(espd, Feed(f"{name}-{number}", readings=readings), level, historical, batches)
                for number, (level, historical) in enumerate(ways)]
    moments = ["espd"] * (kills // 2) + ["gateway"] * (kills - kills // 2) + ["database"] * restarts
    rng.shuffle(moments)
    done: Counter[str] = Counter()
    try:
        for moment in moments:
            # Most kills find a gateway at work: the next one comes before it can be through.
            time.sleep(rng.uniform(0, 0.4))
            if moment == "espd":
                espd.kill()
                espd.start()
            elif moment == "gateway":
                rng.shuffle(gateways)
                if not any(gateway.kill() for gateway in gateways):
                    continue
            else:
                rng.choice([cluster.stop, cluster.kill, lambda: cluster.stop("immediate")])()
                cluster.start()
            done[moment] += 1
        for gateway in gateways:
            gateway.finish(1200 if is_full else 120)
    finally:
        for gateway in gateways:
            gateway.end()
    print(dict(done))
    for gateway in gateways:
        wait_for(lambda name=gateway.feed.name: cursor(cluster, name) == batches, "all is in the database", 120)
        gateway.check(cluster)
    espd.stop()
