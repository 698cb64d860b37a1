"""A gateway that may be killed at any moment: takes the batches of a feed into its spool, forwards them, and keeps a
record of both outside of itself.

Usage: spool_gateway.py TARGET PRODUCER LEVEL HISTORICAL READINGS BATCHES START FOLDER. START is the time of the feed's
first reading in microseconds. In FOLDER, a line each, only ever appended: `sent` (number of a batch for which `send`
has returned, before the next `send`), `acks` (sequence and level of an answer), `lost` and `forgotten` (first and
last). Exit code 3: the spool lacks a batch for which `send` had returned.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from espclient import StoreAndForward
from espclient.protocol import telemetry_pb2 as pb

from readings import Feed


class Record:
    """An append-only file of lines of numbers. A line is one write: a kill leaves it whole or leaves nothing."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, *numbers: int) -> None:
        os.write(self._file, (" ".join(map(str, numbers)) + "\n").encode())

    @staticmethod
    def read(path: Path) -> list[tuple[int, ...]]:
        return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    target, producer, level, historical, readings, batches, start, path = sys.argv[1:]
    folder = Path(path)
    feed = Feed(producer, readings=int(readings), start_us=int(start))
    sent, acks, lost, forgotten = (Record(folder / name) for name in ("sent", "acks", "lost", "forgotten"))

    def answered(result: pb.BatchResult, _: object) -> None:
        acks.add(result.sequence, result.ack_level)

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        if "has forgotten batches" in text:
            forgotten.add(*(int(word.strip(",")) for word in text.split() if word.strip(",").isdigit()))

    known = max((line[0] for line in Record.read(folder / "sent")), default=0)
    with StoreAndForward(target, producer, folder / "spool", ack=level, historical=historical == "1",
                         max_bytes=2 << 20, on_result=answered, on_event=told, on_lost=lost.add) as sender:
        if sender.newest < known:
            print(f"the spool ends with {sender.newest}, but send had returned for {known}", file=sys.stderr)
            return 3
        for number in range(sender.newest + 1, int(batches) + 1):
            assert sender.send(feed.batch(number)) == number
            sent.add(number)
        sender.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
