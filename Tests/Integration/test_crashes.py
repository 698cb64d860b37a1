"""Nothing is lost and nothing is doubled, whatever is killed during a stream: espd, PostgreSQL.

Full (ESP_TEST_FULL=1): 20 kills of espd instead of 6, 5 restarts of the database instead of 3.
"""

from __future__ import annotations

import os
import random
import signal
import time

from espd_process import Espd, is_alive, processes_in, wait_for
from readings import Feed
from sender import Sender, assert_stored_once


def strangers(espd: Espd) -> list[int]:
    """Processes on the data that are neither the database of this espd nor started by it."""
    found = []
    for pid in processes_in(espd.data / "postgres" / "data"):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if espd.postmaster_pid() not in (pid, parent):
            found.append(pid)
    return found


def test_kill_9_of_espd_at_random_moments_of_a_stream(espd: Espd, name: str, seed: str, is_full: bool):
    rng = random.Random(seed)
    feed = Feed(name, readings=500)
    with Sender(espd.target, feed) as sender:
        for _ in range(20 if is_full else 6):
            sender.await_progress()
            time.sleep(rng.uniform(0, 0.4))
            postmaster = espd.postmaster_pid()
            espd.kill()
            espd.start()
            assert postmaster is None or not is_alive(postmaster), "the old database runs beside the new one"
        batches = sender.finish()
    assert_stored_once(espd.database, feed, batches)
    wait_for(lambda: not strangers(espd), "no processes of earlier databases are left")
    espd.stop()
    assert strangers(espd) == []


def test_the_database_dies_with_a_killed_espd(espd: Espd):
    postmaster = espd.postmaster_pid()
    assert postmaster is not None
    espd.kill()
    wait_for(lambda: not is_alive(postmaster), "the database follows espd")


def test_restarts_of_the_database_during_a_stream_are_not_seen(espd: Espd, name: str, seed: str, is_full: bool):
    rng = random.Random(seed)
    signals = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL] * 2
    feed = Feed(name, readings=500)
    with Sender(espd.target, feed) as sender:
        for number in signals[:5 if is_full else 3]:
            sender.await_progress()
            time.sleep(rng.uniform(0, 0.4))
            postmaster = espd.postmaster_pid()
            assert postmaster is not None
            os.kill(postmaster, number)
            wait_for(lambda old=postmaster: espd.postmaster_pid() not in (None, old), "the database is started again")
        sender.await_progress()
        batches = sender.finish()
        assert sender.events == [], "the client was told of it"
    assert_stored_once(espd.database, feed, batches)
    espd.stop()
