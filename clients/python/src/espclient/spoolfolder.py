"""What a spool's folder holds beside segments: whose it is, a lock, how far the server has come."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from espclient.errors import SpoolError
from espclient.segment import SUFFIX, check_header

FORMAT = 1
"""Of `spool.json`."""
ACKNOWLEDGED = struct.Struct("<QI")
"""Number, CRC-32 of its bytes."""


@dataclass(slots=True)
class Segment:
    """A file of the spool."""

    first: int
    path: Path
    size: int
    damaged: bool = False


def encode_hint(number: int) -> bytes:
    """The file `acknowledged`."""
    encoded = struct.pack("<Q", number)
    return encoded + struct.pack("<I", zlib.crc32(encoded))


def list_segments(folder: Path) -> list[Segment]:
    """The segments in a folder, oldest first; raises `SpoolError` for one that is none."""
    segments = []
    for path in sorted(folder.glob("*" + SUFFIX)):
        file = os.open(path, os.O_RDONLY)
        try:
            segments.append(Segment(check_header(file, path), path, os.fstat(file).st_size))
        finally:
            os.close(file)
    return segments


def read_identity(folder: Path) -> dict[str, object] | None:
    """What `spool.json` says; None when it is not there. Raises `SpoolError`."""
    path = folder / "spool.json"
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise SpoolError(f"{path} is damaged: it is not JSON") from None
    if not isinstance(identity, dict) or not isinstance(identity.get("producer"), str):
        raise SpoolError(f"{path} is damaged: it names no producer")
    if identity.get("format") != FORMAT:
        raise SpoolError(
            f"{path} has format {identity.get('format')}; this program reads format {FORMAT}"
        )
    return identity


def write_identity(folder: Path, identity: dict[str, object]) -> None:
    """Replaces `spool.json`; after a crash the old one or the new one is there, whole."""
    fresh = folder / "spool.json.new"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(identity, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, folder / "spool.json")
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Names that were made, changed or removed are on the disk when it returns."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def take_lock(folder: Path) -> int:
    """Keeps everybody else out until the file that is returned is closed. Raises `SpoolError`."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise SpoolError(
            f"the spool in {folder} cannot be used: it is open already, here or in another process"
        ) from None
    return file


def own(folder: Path, producer_id: str) -> int | None:
    """Makes the folder the producer's, or checks that it is; returns the base."""
    identity = read_identity(folder)
    if identity is None:
        if list_segments(folder):
            raise SpoolError(f"{folder} holds segments but no spool.json: whose they are is lost")
        write_identity(folder, {"format": FORMAT, "producer": producer_id, "base": None})
        return None
    if identity["producer"] != producer_id:
        raise SpoolError(
            f"the spool in {folder} belongs to producer {identity['producer']!r},"
            f" not to {producer_id!r}"
        )
    base = identity.get("base")
    if base is not None and (not isinstance(base, int) or base < 0):
        raise SpoolError(f"{folder / 'spool.json'} is damaged: its base is no sequence")
    return base


def read_hint(file: int) -> int:
    """The number in the file `acknowledged`; 0 when it is not whole."""
    data = os.pread(file, ACKNOWLEDGED.size, 0)
    if len(data) < ACKNOWLEDGED.size:
        return 0
    number, checksum = ACKNOWLEDGED.unpack(data)
    return number if checksum == zlib.crc32(data[:8]) else 0
