"""Tests/JournalWriter as a process: what it says, read line by line."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from espd_process import ROOT

WRITER = Path(os.environ.get("ESP_TEST_JOURNAL_WRITER", ROOT / ".build" / "release" / "JournalWriter"))
PRODUCERS = 3
PATIENCE = 60.0
"""Seconds after which a writer that says nothing of what is waited for is killed."""

Position = tuple[int, int]
Record = tuple[int, int]
"""Producer and sequence."""


def position(text: str) -> Position:
    segment, _, offset = text.partition(":")
    return int(segment), int(offset)


class JournalWriter:
    """A context: killed at its end, if it has not ended before."""

    def __init__(self, journal: Path, last: Sequence[int] = (0,) * PRODUCERS, prefix: Sequence[str] = ()) -> None:
        self.command = [*prefix, str(WRITER), str(journal), *map(str, last)]
        self.found: dict[Record, Position] = {}
        self.acked: dict[Record, Position] = {}
        self.released: Position = (0, 0)

    def __enter__(self) -> JournalWriter:
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.timer = threading.Timer(PATIENCE, self.process.kill)
        self.timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.timer.cancel()
        self.process.kill()
        assert self.process.stdout is not None
        if kind is None:
            self.read()
        self.process.stdout.close()
        self.process.wait(30)

    def read(self, word: str = "", count: int = 1) -> str:
        """Reads until so many more lines begin with `word`, and gives the last one's rest; "" = to the end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            first, _, rest = line.rstrip("\n").partition(" ")
            if not line.endswith("\n"):
                break  # cut by the kill
            self.note(first, rest)
            count -= first == word
            if count == 0:
                return rest
        assert not word, f"it ended, or {PATIENCE} s passed, before it said {word!r}"
        return ""

    def note(self, word: str, rest: str) -> None:
        if word in ("found", "acked"):
            producer, sequence, where = rest.split()
            records = self.found if word == "found" else self.acked
            records[int(producer), int(sequence)] = position(where)
        elif word == "release":
            self.released = position(rest)

    @property
    def kept(self) -> dict[Record, Position]:
        """What was acknowledged and not released."""
        return {record: where for record, where in self.acked.items() if where >= self.released}
