"""A producer's batches on disk until the server has them: bounded, checksummed, one process at a
time.

The folder holds segments (`segment.py`), `spool.json` (whose it is), `acknowledged` (how far the
server has come: a hint, for the server's own cursor decides), and `lock`.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from espclient.errors import BadInput, BatchTooLarge, SpoolError, SpoolFailed, SpoolFull
from espclient.segment import (
    HEADER,
    Record,
    SegmentReader,
    encode_header,
    encode_record,
    segment_name,
)
from espclient.spoolfolder import (
    Segment,
    encode_hint,
    list_segments,
    own,
    read_hint,
    sync_folder,
    take_lock,
    write_identity,
)

DEFAULT_MAX_BYTES = 1 << 30
"""Of all segments: nearly two days of 100 readings a second. Beyond: `SpoolFull`."""
LEAST_MAX_BYTES = 64 << 10
"""Smaller limits leave no room for a few batches."""
SEGMENT_BYTES = 8 << 20
"""Of a segment, at most an eighth of the limit: space comes back by whole segments. A record that
is larger gets one of its own.
"""
DAMAGED_KEPT = 4
"""Damaged segments that are kept as `.damaged` once they are sent; beyond, the oldest goes."""


class Spool:
    """The folder of one producer. Any thread may call; all waits for the disk are here.

    Batches have numbers 1, 2, 3 ... for ever; a batch's sequence at the server is its number plus
    `base`.
    """

    def __init__(
        self,
        folder: str | Path,
        producer_id: str,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        sync_each: bool = True,
    ) -> None:
        """Opens or makes it; a torn last record is cut off. `sync_each`: a batch is on the disk
        before `append` returns; otherwise `sync` and `read` see to it.

        Raises `SpoolError` that names the folder and the cause.
        """
        if max_bytes < LEAST_MAX_BYTES:
            raise BadInput(f"max_bytes is {max_bytes}; at least {LEAST_MAX_BYTES} is needed")
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.cut_bytes = 0
        """Of a torn last record, cut off at the opening."""
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // 8)
        self._sync_each = sync_each
        self._lock = threading.Lock()
        self.failure: SpoolFailed | None = None
        """Set once the disk has failed."""
        self._reader: SegmentReader | None = None
        self._is_dirty = False
        self._is_closed = False
        with contextlib.ExitStack() as undo, _named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = take_lock(self.folder)
            undo.callback(os.close, self._lock_file)
            self.base = own(self.folder, producer_id)
            """Sequence at the server before our first batch; None until it was asked."""
            self._hint = os.open(self.folder / "acknowledged", os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, self._hint)
            self.acknowledged = read_hint(self._hint)
            """The last number that the server is known to have."""
            self._segments = list_segments(self.folder)
            self.newest = self._open_newest()
            """The last number that was given."""
            undo.pop_all()

    # Writing.

    def append(self, payload: bytes, readings: int) -> int:
        """Keeps a batch and returns its number. Raises `SpoolFull`, after which nothing has
        changed, and `SpoolFailed`, after which nothing more is taken until the spool is opened
        again, and then the batch may be there or not.
        """
        with self._lock:
            self._check_usable()
            number = self.newest + 1
            data = encode_record(number, readings, payload)
            if len(data) + HEADER.size > self.max_bytes:
                raise BatchTooLarge(
                    f"a batch of {len(payload)} bytes; the spool holds {self.max_bytes}"
                )
            self._make_room(len(data))
            active = self._segments[-1]
            if active.size > HEADER.size and active.size + len(data) > self._segment_bytes:
                self._start_segment(number)
                active = self._segments[-1]
            self._write(active, data)
            self._is_dirty = True
            if self._sync_each:
                self._sync()
            active.size += len(data)
            self.newest = number
            return number

    def sync(self) -> None:
        """All that was appended is on the disk when it returns."""
        with self._lock:
            if not self._is_closed:
                self._sync()

    def _write(self, active: Segment, data: bytes) -> None:
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._file, data[done:], active.size + done)
        except OSError as error:
            with contextlib.suppress(OSError):
                # What stays is cut at the next opening, or overwritten by the next batch.
                os.ftruncate(self._file, active.size)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"the disk under {self.folder} is full") from None
            raise self._fail(f"writing {active.path}", error) from None

    def _sync(self) -> None:
        if not self._is_dirty:
            return
        self._check_usable()
        try:
            os.fdatasync(self._file)
        except OSError as error:
            # The kernel has forgotten what it could not write: a second try would say "done".
            raise self._fail(f"syncing {self._segments[-1].path}", error) from None
        self._is_dirty = False

    def _fail(self, doing: str, error: OSError) -> SpoolFailed:
        self.failure = SpoolFailed(f"{doing}: {error.strerror}; open the spool again")
        return self.failure

    def _check_usable(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._is_closed:
            raise SpoolFailed("the spool is closed")

    # Segments.

    @property
    def used_bytes(self) -> int:
        """Of all segments, acknowledged records that share one with others included."""
        return sum(segment.size for segment in self._segments)

    def _make_room(self, size: int) -> None:
        if self.used_bytes + size <= self.max_bytes:
            return
        if self.newest <= self.acknowledged and self._segments[-1].size > HEADER.size:
            self._start_segment(self.newest + 1)
            self._remove_acknowledged()
        if self.used_bytes + size > self.max_bytes:
            raise SpoolFull(
                f"the spool in {self.folder} is full: {self.used_bytes} of {self.max_bytes} bytes,"
                f" {self.newest - self.acknowledged} batches wait for the server"
            )

    def _open_newest(self) -> int:
        """Opens the last segment, cuts what is torn, and returns the last number given."""
        if not self._segments:
            self._start_segment(self.acknowledged + 1)
            return self.acknowledged
        active = self._segments[-1]
        self._file = os.open(active.path, os.O_RDWR)
        reader = SegmentReader(active.path)
        try:
            last = active.first - 1
            while (record := reader.next(active.size)) is not None:
                last = record.number
            active.damaged = reader.damaged_bytes > 0
            if reader.offset < active.size:
                self.cut_bytes = active.size - reader.offset
                os.ftruncate(self._file, reader.offset)
                os.fsync(self._file)
                active.size = reader.offset
        finally:
            reader.close()
        if last < self.acknowledged:
            # The end that is gone had been sent: its numbers must not be given again.
            last = self.acknowledged
            self._start_segment(last + 1)
        return last

    def _start_segment(self, first: int) -> None:
        """Makes the next file. It has its name only once its header is on the disk."""
        if self._segments:
            self._sync()
        path = self.folder / segment_name(first)
        fresh = path.with_suffix(".new")
        try:
            file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.pwrite(file, encode_header(first), 0)
                os.fsync(file)
                os.rename(fresh, path)
                sync_folder(self.folder)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"the disk under {self.folder} is full") from None
            raise self._fail(f"making {path}", error) from None
        if self._segments:
            os.close(self._file)
        self._file = file
        self._segments.append(Segment(first, path, HEADER.size))

    def _remove_acknowledged(self) -> None:
        """Removes files of which the server has everything; the newest stays: it has the next
        number. What can't be removed is tried again later.
        """
        while len(self._segments) > 1 and self._segments[1].first <= self.acknowledged + 1:
            old = self._segments[0]
            with contextlib.suppress(OSError):
                if old.damaged:
                    os.rename(old.path, old.path.with_suffix(".damaged"))
                    for surplus in sorted(self.folder.glob("*.damaged"))[:-DAMAGED_KEPT]:
                        surplus.unlink()
                else:
                    old.path.unlink()
            if old.path.exists():
                return
            del self._segments[0]

    # What the sender needs.

    def read(self, number: int) -> Record | None:
        """A batch to be sent, on the disk by now: the server never has more than the spool. None:
        it is damaged, or was acknowledged and removed. Only up to `newest`.
        """
        with self._lock:
            self._sync()
            place = bisect.bisect_right(self._segments, number, key=lambda each: each.first) - 1
            if place < 0:
                return None
            segment = self._segments[place]
            reader = self._reader
            if reader is None or reader.path != segment.path or number <= reader.reached:
                if reader is not None:
                    reader.close()
                self._reader = reader = SegmentReader(segment.path)
            try:
                record = reader.find(number, segment.size)
            except OSError as error:
                raise self._fail(f"reading {segment.path}", error) from None
            segment.damaged = segment.damaged or reader.damaged_bytes > 0 or record is None
            return record

    def acknowledge(self, number: int) -> None:
        """The server has everything up to `number`: the room is free again."""
        with self._lock:
            if self._is_closed or number <= self.acknowledged:
                return
            self._set_acknowledged(number)
            self._remove_acknowledged()

    def forgotten(self, number: int) -> None:
        """The server has less than it had acknowledged: what is still here after `number` counts
        as waiting again.
        """
        with self._lock:
            if not self._is_closed:
                self._set_acknowledged(max(number, 0))

    def _set_acknowledged(self, number: int) -> None:
        self.acknowledged = number
        with contextlib.suppress(OSError):
            # A hint that is too old costs nothing: the server says where it stands.
            os.pwrite(self._hint, encode_hint(number), 0)

    def set_base(self, base: int) -> None:
        """The server's cursor before our first batch, asked once, before anything is sent."""
        with self._lock:
            identity = json.loads((self.folder / "spool.json").read_text(encoding="utf-8"))
            try:
                write_identity(self.folder, identity | {"base": base})
            except OSError as error:
                raise self._fail(f"writing {self.folder / 'spool.json'}", error) from None
            self.base = base

    def close(self) -> None:
        """Syncs, and lets another process have it."""
        with self._lock:
            if self._is_closed:
                return
            try:
                if self.failure is None:
                    self._sync()
            finally:
                self._is_closed = True
                if self._reader is not None:
                    self._reader.close()
                for file in (self._file, self._hint, self._lock_file):
                    os.close(file)


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise SpoolError(
            f"the spool in {folder} cannot be used: {where}: {error.strerror}"
        ) from None
    except (SpoolFailed, SpoolFull) as error:
        raise SpoolError(f"the spool in {folder} cannot be used: {error}") from None
