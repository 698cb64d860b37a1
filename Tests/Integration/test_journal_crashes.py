"""The journal's promise under kill -9: what was acknowledged is there after it, in order, where it was said to be.

This kills the process, not the machine: what a lost page cache does is tested in Tests/JournalTests with files that are
cut and changed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
from pathlib import Path

from espd_process import ROOT
from test_espctl import inspect

WRITER = Path(os.environ.get("ESP_TEST_JOURNAL_WRITER", ROOT / ".build" / "release" / "JournalWriter"))
PRODUCERS = 3
QUICK_KILLS, FULL_KILLS = 40, 300

Position = tuple[int, int]


class Ledger:
    """What the parent was told, over all runs."""

    def __init__(self) -> None:
        self.acked: dict[tuple[int, int], Position] = {}
        self.last = [0] * PRODUCERS
        self.released: Position = (0, 0)
        self.runs_that_recovered = 0
        self.newest_segment = 0

    def run(self, journal: Path, chance: random.Random) -> None:
        """One life of the writer, and what it said."""
        process = subprocess.Popen([WRITER, journal, *map(str, self.last)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        # Some die while they start, the others after some acknowledgements; the limit is for a writer that hangs.
        early = chance.random() < 0.25
        timer = threading.Timer(chance.uniform(0, 0.06) if early else 60, process.kill)
        timer.start()
        acks_left = chance.randrange(1, 1500)
        found: list[tuple[int, int, Position]] = []
        is_ready = False
        try:
            for line in process.stdout:
                if not line.endswith("\n"):
                    break  # cut by the kill
                word, *values = line.split()
                assert word != "error", line
                if word == "found":
                    found.append((int(values[0]), int(values[1]), position(values[2])))
                elif word == "ready":
                    is_ready = True
                    self.check(found)
                elif word == "release":
                    self.released = position(values[0])
                else:
                    self.acknowledge(int(values[0]), int(values[1]), position(values[2]))
                    acks_left -= 1
                    if acks_left == 0:
                        process.kill()
        finally:
            timer.cancel()
            process.kill()
            code = process.wait(30)
            process.stdout.close()
        assert code == -9, f"it ended with {code} by itself"
        assert is_ready or early, "it hung"

    def acknowledge(self, producer: int, sequence: int, where: Position) -> None:
        assert sequence > self.last[producer], "acknowledged out of order"
        self.last[producer] = sequence
        self.acked[producer, sequence] = where
        self.newest_segment = max(self.newest_segment, where[0])

    def check(self, found: list[tuple[int, int, Position]]) -> None:
        """Nothing acknowledged is missing but what was released; each producer's order is kept, without a gap."""
        self.runs_that_recovered += 1
        places = [where for _, _, where in found]
        assert places == sorted(set(places))
        newest: dict[int, int] = {}
        for producer, sequence, _ in found:
            assert sequence == newest.get(producer, sequence - 1) + 1, f"producer {producer}: {sequence} after {newest}"
            newest[producer] = sequence
        there = {(producer, sequence): where for producer, sequence, where in found}
        self.acked = {key: where for key, where in self.acked.items() if where >= self.released}
        missing = {key: where for key, where in self.acked.items() if there.get(key) != where}
        assert not missing, f"acknowledged and not found: {missing}"
        for producer, sequence in newest.items():
            self.last[producer] = max(self.last[producer], sequence)


def position(text: str) -> Position:
    segment, _, offset = text.partition(":")
    return int(segment), int(offset)


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path, seed: str, is_full: bool) -> None:
    chance, ledger = random.Random(seed), Ledger()
    journal = tmp_path / "journal"
    kills = FULL_KILLS if is_full else QUICK_KILLS
    for _ in range(kills):
        ledger.run(journal, chance)
    assert ledger.runs_that_recovered > kills / 2
    assert ledger.newest_segment > 20, "no segments were used again"

    # From outside, before the next start: the same records, whole.
    result = inspect(journal, "--records", "--json")
    assert result.returncode == 0, result
    *records, summary = map(json.loads, result.stdout.splitlines())
    assert summary["damages"] == [] and summary["records"] == len(records)
    there = {(int(record["producer"]), record["sequence"]): position(record["position"]) for record in records}
    kept = {key: where for key, where in ledger.acked.items() if where >= ledger.released}
    assert kept and kept.items() <= there.items()
