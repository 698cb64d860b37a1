"""The journal's promise under kill -9: what was acknowledged is there after it, in order, where it was said to be.

This kills the process, not the machine: what a lost page cache does is tested in Tests/JournalTests with files that are
cut and changed.
"""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

from journal_writer import PRODUCERS, JournalWriter, Position, Record, position
from test_espctl import inspect

QUICK_KILLS, FULL_KILLS = 40, 300


class Ledger:
    """What the parent was told, over all runs."""

    def __init__(self) -> None:
        self.acked: dict[Record, Position] = {}
        self.last = [0] * PRODUCERS
        self.recovered_runs = 0

    def run(self, journal: Path, chance: random.Random) -> None:
        """One life of the writer. Some die while they start, the others after some acknowledgements."""
        with LifeOfWriter(journal, self) as writer:
            if chance.random() < 0.25:
                killer = threading.Timer(chance.uniform(0, 0.06), writer.process.kill)
                killer.start()
                writer.read()
                killer.join()
            else:
                writer.read("acked", count=chance.randrange(1, 1500))
        assert writer.process.returncode == -9, "it ended by itself"

    def check(self, found: dict[Record, Position]) -> None:
        """Nothing acknowledged is missing; places rise, and each producer's sequences do, without a gap."""
        self.recovered_runs += 1
        places = list(found.values())
        assert places == sorted(set(places))
        newest: dict[int, int] = {}
        for producer, sequence in found:
            assert sequence == newest.get(producer, sequence - 1) + 1, f"producer {producer}: {sequence} after {newest}"
            newest[producer] = sequence
        missing = {record: where for record, where in self.acked.items() if found.get(record) != where}
        assert not missing, f"acknowledged and not found: {missing}"
        for producer, sequence in newest.items():
            self.last[producer] = max(self.last[producer], sequence)


class LifeOfWriter(JournalWriter):
    """Checks what it finds when it has found all, and each acknowledgement."""

    def __init__(self, journal: Path, ledger: Ledger) -> None:
        super().__init__(journal, ledger.last)
        self.ledger = ledger

    def note(self, word: str, rest: str) -> None:
        super().note(word, rest)
        if word == "ready":
            self.ledger.check(self.found)
        elif word == "release":
            self.ledger.acked = {key: where for key, where in self.ledger.acked.items() if where >= self.released}
        elif word == "acked":
            record, where = next(reversed(self.acked.items()))
            assert record[1] > self.ledger.last[record[0]], "acknowledged out of order"
            self.ledger.last[record[0]] = record[1]
            self.ledger.acked[record] = where
        else:
            assert word == "found", f"{word} {rest}"


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path, seed: str, is_full: bool) -> None:
    chance, ledger = random.Random(seed), Ledger()
    journal = tmp_path / "journal"
    kills = FULL_KILLS if is_full else QUICK_KILLS
    for _ in range(kills):
        ledger.run(journal, chance)
    assert ledger.recovered_runs > kills / 2
    assert max(ledger.acked.values()) > (20, 0), "no segments were used again"

    # From outside, before the next start: the same records, whole.
    result = inspect(journal, "--records", "--json")
    assert result.returncode == 0, result
    *records, summary = map(json.loads, result.stdout.splitlines())
    assert summary["damages"] == [] and summary["records"] == len(records)
    there = {(int(record["producer"]), record["sequence"]): position(record["position"]) for record in records}
    assert ledger.acked.items() <= there.items()
