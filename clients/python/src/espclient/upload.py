"""Sends a CSV file through a `ResumingStream`, from wherever the server's cursor of the producer
stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from espclient.columns import BadCell
from espclient.csvfile import CsvFile
from espclient.errors import Rewound
from espclient.protocol import telemetry_pb2
from espclient.stream import ResumingStream

SHOWN = 10
"""Verdicts and bad rows shown in full; the rest is counted."""


@dataclass(slots=True)
class Upload:
    """One run over a file."""

    stream: ResumingStream
    file: CsvFile
    note: Callable[[str], None]
    sleep_until: Callable[[float], None]
    """Sleeps until a moment of `time.monotonic()`, or raises."""
    rate: float | None = None
    """Readings a second at most."""
    file_batches: int = 0
    """Batches that the file makes, as far as it was read."""
    skipped_batches: int = 0
    skipped_readings: int = 0
    """Already stored when this run began."""
    bad_rows: int = 0
    """Left out by `skip_bad`."""

    def run(self) -> None:
        """Sends what the server does not have yet, and returns when all of it is answered."""
        cursor = self.stream.open()
        self.skipped_batches = cursor
        first_pass = True
        while True:
            try:
                self._send_after(cursor, count_skipped=first_pass)
                self.stream.close()
                break
            except Rewound as rewound:
                self.note(f"{rewound}: sending again from there")
                cursor, first_pass = rewound.last_sequence, False
        self._explain_nothing_sent()

    def _send_after(self, cursor: int, *, count_skipped: bool) -> None:
        self.bad_rows = self.file_batches = 0
        began, sent = time.monotonic(), 0
        for batch in self.file.batches(self._bad_row):
            self.file_batches = batch.number
            readings = len(batch.columns)
            if batch.number <= cursor:
                self.skipped_readings += readings if count_skipped else 0
                continue
            if self.rate is not None:
                self.sleep_until(began + sent / self.rate)
            sequence = self.stream.send(batch.message(), readings, batch.columns.lines)
            assert sequence == batch.number, f"batch {batch.number} was sent as {sequence}"
            sent += readings

    def _bad_row(self, bad: BadCell) -> None:
        if not self.file.options.skip_bad:
            raise bad
        self.bad_rows += 1
        if self.bad_rows <= SHOWN:
            self.note(f"{self.file.path}: {bad}; left out")

    def _explain_nothing_sent(self) -> None:
        cursor, made = self.skipped_batches, self.file_batches
        if cursor > made:
            self.note(
                f"nothing to send: the server has {cursor} batches of this producer, this file"
                f" makes {made}. Was the producer id used with another file or other options?"
            )
        elif self.stream.totals.sent == 0:
            self.note(f"nothing to send: the server has all {made} batches of this file")
        self.skipped_batches = min(cursor, made)


class VerdictLog:
    """Shows the first verdicts with the lines of the file that they are about."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._seen = 0

    def add(self, result: telemetry_pb2.BatchResult, lines: list[int]) -> None:
        """Takes the answer to a batch whose readings came from `lines`."""
        for verdict in result.verdicts:
            self._seen += 1
            if self._seen <= SHOWN:
                self._note(describe_verdict(verdict, lines))
            elif self._seen == SHOWN + 1:
                self._note("further verdicts are only counted")


def describe_verdict(verdict: telemetry_pb2.Verdict, lines: list[int]) -> str:
    """For example `lines 12-15: quarantined, OUT_OF_RANGE, temperature`."""
    about = lines[verdict.first_index : verdict.first_index + verdict.count]
    if not about:
        place = f"reading {verdict.first_index}"
    elif len(about) == 1:
        place = f"line {about[0]}"
    else:
        place = f"lines {about[0]}-{about[-1]}"
    outcome = telemetry_pb2.Verdict.Outcome.Name(verdict.outcome)
    parts = [outcome.removeprefix("OUTCOME_").lower(), verdict.reason, verdict.field]
    return f"{place}: " + ", ".join(part for part in parts if part)
