"""A CSV file as numbered batches: batch k holds the same rows whenever the same file is read with
the same options.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from espclient.columns import Columns, parse_rows
from espclient.encoding import encode_blocks, encode_rows
from espclient.errors import BadCell, BadInput
from espclient.plan import ColumnPlan, CsvOptions, make_plan
from espclient.protocol import telemetry_pb2


@dataclass(slots=True)
class CsvBatch:
    """Batch `number` of a file, numbered from 1."""

    number: int
    columns: Columns
    blocks: bool
    source_system: str

    def message(self) -> telemetry_pb2.Batch:
        """The batch as it is sent, still without its sequence."""
        encode = encode_blocks if self.blocks else encode_rows
        return encode(self.columns, self.source_system)


class CsvFile:
    """A file of readings. Raises `BadInput` when it is opened and its header does not fit."""

    def __init__(self, path: str | Path, options: CsvOptions) -> None:
        self.path = Path(path)
        self.options = options
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                header = next(csv.reader(file, skipinitialspace=True), None)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BadInput(f"{self.path}: {_reason(error)}") from error
        if not header:
            raise BadInput(f"{self.path}: no header line")
        self.plan: ColumnPlan = make_plan([name.strip() for name in header], options)

    def batches(self, on_bad: Callable[[BadCell], None]) -> Iterator[CsvBatch]:
        """All batches from the first. A bad row is handed to `on_bad`: it raises, or the row is
        left out.

        Batch boundaries are counted in rows of the file, bad ones included: leaving one out moves
        no other row to
        another batch. A batch without any good row does not exist and takes no number.
        """
        number = 0
        for lines, rows in self._chunks():
            columns = parse_rows(lines, rows, self.plan, self.options, on_bad)
            if len(columns):
                number += 1
                yield CsvBatch(number, columns, self.options.blocks, self.options.source_system)

    def fingerprint(self) -> str:
        """A producer id made of the file's bytes and the options: the same only for the same
        batches.

        Options left at their default are not part of it, so that a new option changes no id.
        """
        digest = hashlib.sha256()
        default = CsvOptions()
        for option in fields(self.options):
            value = getattr(self.options, option.name)
            if value != getattr(default, option.name):
                text = sorted(value.items()) if isinstance(value, dict) else value
                digest.update(f"{option.name}={text!r}\n".encode())
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        return "csv-" + digest.hexdigest()[:40]

    def _chunks(self) -> Iterator[tuple[list[int], list[list[str]]]]:
        """The data rows with their line numbers, as many at a time as a batch takes. Blank lines do
        not count.
        """
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            numbered = ((reader.line_num, row) for row in reader if row)
            try:
                next(numbered)
                kept = itertools.islice(numbered, self.options.limit)
                while chunk := list(itertools.islice(kept, self.options.batch_readings)):
                    lines, rows = zip(*chunk, strict=True)
                    yield list(lines), list(rows)
            except (UnicodeDecodeError, csv.Error) as error:
                raise BadInput(
                    f"{self.path}: after line {reader.line_num}: {_reason(error)}"
                ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
