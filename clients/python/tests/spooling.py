"""What the tests of the spool share: records, files, and what a sender with a spool has to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espclient import StoreAndForward
from espclient.segment import Record
from espclient.spool import Spool

from sending import make_batch
from server import TestServer


def payload(number: int, size: int = 100) -> bytes:
    """Bytes that tell their number."""
    return f"{number:08}".encode() * (size // 8)


def fill(spool: Spool, first: int, last: int, size: int = 100) -> None:
    for number in range(first, last + 1):
        assert spool.append(payload(number, size), number % 7) == number


def read_all(spool: Spool, first: int = 1) -> list[Record | None]:
    return [spool.read(number) for number in range(first, spool.newest + 1)]


def numbers(records: list[Record | None]) -> list[int]:
    for record in records:
        assert record is None or record.payload.startswith(b"%08d" % record.number)
    return [record.number for record in records if record is not None]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


def flip(path: Path, offset: int) -> None:
    """Changes one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def forward(server: TestServer, folder: Path, **options: Any) -> StoreAndForward:
    return StoreAndForward(server.target, "p", folder, **options)


def send_numbers(sender: StoreAndForward, first: int, last: int) -> None:
    for number in range(first, last + 1):
        assert sender.send(make_batch(number)) == number
