"""One file of a spool: a header, then records; how they are written, read, and told from damage.

A record is whole when its checksum fits. Whatever else lies between two whole records is damage.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from espclient.errors import SpoolError

MAGIC = b"ESPSPOOL"
VERSION = 1
HEADER = struct.Struct("<8sIQI")
"""Magic, format version, number of the first record, CRC-32 of these."""
MARK = b"\xe5REC"
"""Begins each record: where to look for the next one behind damage."""
RECORD = struct.Struct("<4sIQII")
"""Mark, CRC-32 of all that follows, number, readings, bytes of the payload."""
CHECKED_FROM = 8
"""First byte of a record that its CRC covers."""
SUFFIX = ".segment"


class Record(NamedTuple):
    """A whole record and where it lies in its file."""

    number: int
    readings: int
    payload: bytes
    """A serialized `esp.v1.Batch` without its sequence."""
    offset: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + RECORD.size + len(self.payload)


def encode_header(first: int) -> bytes:
    """The header of a segment whose first record will have number `first`."""
    head = HEADER.pack(MAGIC, VERSION, first, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def check_header(file: int, path: Path) -> int:
    """The number of the first record of an open segment; raises `SpoolError`."""
    head = os.pread(file, HEADER.size, 0)
    if len(head) < HEADER.size or head[:8] != MAGIC:
        raise SpoolError(f"{path} is not a file of a spool")
    _, version, first, checksum = HEADER.unpack(head)
    if version != VERSION:
        raise SpoolError(f"{path} has format {version}; this program reads format {VERSION}")
    if checksum != zlib.crc32(head[:-4]) or path.name != segment_name(first):
        raise SpoolError(f"the header of {path} is damaged")
    return first


def segment_name(first: int) -> str:
    """Of the file whose first record has number `first`; names sort like numbers."""
    return f"{first:020}{SUFFIX}"


def encode_record(number: int, readings: int, payload: bytes) -> bytes:
    """The bytes of a record."""
    head = struct.pack("<QII", number, readings, len(payload))
    checksum = zlib.crc32(payload, zlib.crc32(head))
    return MARK + struct.pack("<I", checksum) + head + payload


def read_record(file: int, offset: int, size: int) -> Record | None:
    """The record at `offset` of a file of `size` bytes; None when no whole one is there."""
    head = os.pread(file, RECORD.size, offset)
    if len(head) < RECORD.size:
        return None
    mark, checksum, number, readings, length = RECORD.unpack(head)
    if mark != MARK or offset + RECORD.size + length > size:
        return None
    payload = os.pread(file, length, offset + RECORD.size)
    if len(payload) < length or zlib.crc32(payload, zlib.crc32(head[CHECKED_FROM:])) != checksum:
        return None
    return Record(number, readings, payload, offset)


def find_record(file: int, offset: int, size: int) -> Record | None:
    """The first whole record that begins behind `offset`; None when there is none."""
    rest = os.pread(file, max(0, size - offset), offset)
    place = rest.find(MARK, 1)
    while place >= 0:
        record = read_record(file, offset + place, size)
        if record is not None:
            return record
        place = rest.find(MARK, place + 1)
    return None


class SegmentReader:
    """Reads a segment forwards, over damage. The file may grow meanwhile; `size` says how far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged_bytes = 0
        """Passed over so far."""
        self._file = os.open(path, os.O_RDONLY)
        self._offset = HEADER.size
        self._ahead: Record | None = None
        self.reached = 0
        """The number that was looked for last; it and smaller ones need a new reader."""

    def close(self) -> None:
        """Nothing can be read after it."""
        os.close(self._file)

    def find(self, number: int, size: int) -> Record | None:
        """The record of that number; None when it is damaged or not there."""
        self.reached = number
        while True:
            record, self._ahead = self._ahead or self.next(size), None
            if record is None or record.number == number:
                return record
            if record.number > number:
                self._ahead = record
                return None

    def next(self, size: int) -> Record | None:
        """The next whole record; None at the end, and before a tail without one."""
        record = read_record(self._file, self._offset, size)
        if record is None and self._offset < size:
            record = find_record(self._file, self._offset, size)
            if record is not None:
                self.damaged_bytes += record.offset - self._offset
        if record is not None:
            self._offset = record.end
        return record

    @property
    def offset(self) -> int:
        """Behind the last record that was read."""
        return self._offset
