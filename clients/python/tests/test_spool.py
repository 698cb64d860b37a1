"""The spool on the disk: what it keeps, what it cuts, what it refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from espclient import BadInput, BatchTooLarge, SpoolError, SpoolFailed, SpoolFull
from espclient.espspool import inspect
from espclient.segment import HEADER, RECORD
from espclient.spool import DAMAGED_KEPT, LEAST_MAX_BYTES, Spool

from spooling import fill, flip, numbers, payload, read_all, segments

RECORD_BYTES = RECORD.size + len(payload(1))


@pytest.fixture(autouse=True)
def _closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A spool that a test leaves open would keep its files for the rest of the session."""
    opened: list[Spool] = []
    begin = Spool.__init__

    def remember(spool: Spool, *arguments: Any, **options: Any) -> None:
        begin(spool, *arguments, **options)
        opened.append(spool)

    monkeypatch.setattr(Spool, "__init__", remember)
    yield
    for spool in opened:
        with contextlib.suppress(SpoolError):
            spool.close()


def test_what_was_appended_is_read_in_order_and_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool", "p")
    fill(spool, 1, 50)
    assert numbers(read_all(spool)) == list(range(1, 51))
    assert [record.readings for record in read_all(spool) if record] == [
        number % 7 for number in range(1, 51)
    ]
    assert numbers(read_all(spool, 20)) == list(range(20, 51))
    spool.close()
    with pytest.raises(SpoolFailed, match="closed"):
        spool.append(b"", 0)


@pytest.mark.parametrize("sync_each", [True, False])
def test_the_next_opening_goes_on_with_the_next_number(tmp_path: Path, sync_each: bool) -> None:
    for first in (1, 11, 21):
        spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES, sync_each=sync_each)
        fill(spool, first, first + 9, size=2000)
        spool.close()
    spool = Spool(tmp_path, "p")
    assert numbers(read_all(spool)) == list(range(1, 31))
    assert len(segments(tmp_path)) > 3


def test_numbers_go_on_when_everything_was_acknowledged_and_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    for number in range(1, 300):
        assert spool.append(payload(number, 2000), 1) == number
        spool.acknowledge(number)
    assert len(segments(tmp_path)) == 1
    spool.close()
    spool = Spool(tmp_path, "p")
    assert (spool.newest, spool.acknowledged) == (299, 299)


def test_only_whole_acknowledged_segments_are_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    fill(spool, 1, 20, size=2000)
    before = segments(tmp_path)
    spool.acknowledge(int(before[1].stem) - 2)
    assert segments(tmp_path) == before
    spool.acknowledge(int(before[1].stem) - 1)
    assert segments(tmp_path) == before[1:]
    assert numbers(read_all(spool)) == list(range(int(before[1].stem), 21))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_torn_record_is_cut_at_every_byte(tmp_path: Path, when: str) -> None:
    """Everything before it is there, and the next append takes its number."""
    spool = Spool(tmp_path / "whole", "p")
    fill(spool, 1, 3)
    spool.close()
    (file,) = segments(tmp_path / "whole")
    size = file.stat().st_size
    for cut in range(size - RECORD_BYTES, size):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        with segments(folder)[0].open("r+b") as torn:
            if when == "before":
                torn.truncate(cut)
            else:
                torn.seek(cut)
                torn.write(bytes(size - cut))
        spool = Spool(folder, "p")
        assert numbers(read_all(spool)) == [1, 2]
        assert spool.cut_bytes == (cut if when == "before" else size) - (size - RECORD_BYTES)
        fill(spool, 3, 4)
        spool.close()
        spool = Spool(folder, "p")
        assert numbers(read_all(spool)) == [1, 2, 3, 4]
        spool.close()
        shutil.rmtree(folder)


def test_a_flipped_bit_costs_its_record_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "whole", "p")
    fill(spool, 1, 3)
    spool.close()
    first = HEADER.size + RECORD_BYTES
    for offset in range(first, first + RECORD_BYTES):
        folder = tmp_path / f"flip{offset}"
        shutil.copytree(tmp_path / "whole", folder)
        flip(segments(folder)[0], offset)
        spool = Spool(folder, "p")
        assert spool.newest == 3
        assert numbers(read_all(spool)) == [1, 3]
        spool.close()
        shutil.rmtree(folder)


def test_damage_in_an_older_segment_is_passed_over_and_the_file_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    fill(spool, 1, 16, size=2000)
    spool.close()
    second = segments(tmp_path)[1]
    last = int(segments(tmp_path)[2].stem) - 1
    with second.open("r+b") as file:
        file.truncate(second.stat().st_size - 5)
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    assert spool.newest == 16
    assert numbers(read_all(spool)) == [number for number in range(1, 17) if number != last]
    spool.acknowledge(16)
    assert [path.stem for path in tmp_path.glob("*.damaged")] == [second.stem]


def test_damaged_segments_are_kept_up_to_a_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    for number in range(1, 60):
        spool.append(payload(number, 4000), 1)
        flip(segments(tmp_path)[-1], HEADER.size + 40)
        spool.read(number)
        spool.acknowledge(number)
    assert len(list(tmp_path.glob("*.damaged"))) == DAMAGED_KEPT


def test_the_numbers_of_an_end_that_is_gone_but_was_acknowledged_are_not_given_again(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path, "p")
    fill(spool, 1, 5)
    spool.acknowledge(5)
    spool.close()
    os.truncate(segments(tmp_path)[0], HEADER.size)
    spool = Spool(tmp_path, "p")
    assert spool.append(payload(6), 1) == 6
    assert numbers(read_all(spool)) == [6]


def test_a_hint_that_is_damaged_is_only_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p")
    fill(spool, 1, 5)
    spool.acknowledge(3)
    spool.close()
    flip(tmp_path / "acknowledged", 0)
    spool = Spool(tmp_path, "p")
    assert (spool.acknowledged, spool.newest) == (0, 5)


# Limits and disks.


def test_the_limit_is_said_and_room_comes_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    with pytest.raises(SpoolFull, match=rf"is full: \d+ of {LEAST_MAX_BYTES} bytes, \d+ batches"):
        fill(spool, 1, 1000, size=2000)
    kept = spool.newest
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= LEAST_MAX_BYTES
    assert numbers(read_all(spool)) == list(range(1, kept + 1))
    spool.acknowledge(kept // 2)
    fill(spool, kept + 1, kept + 3, size=2000)
    spool.acknowledge(spool.newest)
    fill(spool, spool.newest + 1, spool.newest + 20, size=2000)


def test_one_large_batch_fills_a_spool_and_leaves_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    for number in (1, 2, 3):
        spool.append(payload(number, 60_000), 1)
        with pytest.raises(SpoolFull):
            spool.append(payload(number, 60_000), 1)
        spool.acknowledge(number)
    with pytest.raises(BatchTooLarge, match=f"the spool holds {LEAST_MAX_BYTES}"):
        spool.append(payload(4, LEAST_MAX_BYTES), 1)


def test_a_limit_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="max_bytes is 10; at least"):
        Spool(tmp_path, "p", max_bytes=10)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_takes_nothing_back_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    spool = Spool(tmp_path, "p")
    fill(spool, 1, 3)
    write = os.pwrite

    def half(file: int, data: bytes, offset: int) -> int:
        if len(data) > 60:
            return write(file, data[:60], offset)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(SpoolFull, match="disk under .* is full"):
        spool.append(payload(4), 1)
    monkeypatch.undo()
    fill(spool, 4, 6)
    spool.close()
    assert numbers(read_all(Spool(tmp_path, "p"))) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_failing_disk_ends_the_spool_until_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    spool = Spool(tmp_path, "p")
    fill(spool, 1, 3)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(SpoolFailed, match="Input/output error; open the spool again"):
        spool.append(payload(4), 1)
    monkeypatch.undo()
    with pytest.raises(SpoolFailed, match="Input/output error"):
        spool.append(payload(4), 1)
    assert spool.newest == 3
    spool.close()
    again = Spool(tmp_path, "p")
    assert numbers(read_all(again))[:3] == [1, 2, 3]
    assert again.append(payload(again.newest + 1), 1) == again.newest


def test_a_folder_that_cannot_be_made_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"cannot be used: .*file/spool: Not a directory"):
        Spool(tmp_path / "file" / "spool", "p")
    if os.geteuid() == 0:  # Rights don't hold root back; a file system that is read-only does.
        with pytest.raises(SpoolError, match=r"the spool in /proc/1/spool cannot be used: "):
            Spool("/proc/1/spool", "p")
        return
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(SpoolError, match=r"closed/lock: Permission denied"):
        Spool(tmp_path / "closed", "p")


def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p")
    fill(spool, 1, 3)
    spool.close()
    program = f"from espclient.spool import Spool; Spool({str(tmp_path)!r}, 'p')"
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77; exec "$2" -c "$3"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
         tmp_path, sys.executable, program],
        capture_output=True, text=True, timeout=60, check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting needs root")
    assert "lock: Read-only file system" in done.stderr, done.stderr
    assert numbers(read_all(Spool(tmp_path, "p"))) == [1, 2, 3]


# Whose it is.


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    program = f"from espclient.spool import Spool; Spool({str(tmp_path)!r}, 'p')"
    spool = Spool(tmp_path, "p")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "it is open already, here or in another process" in done.stderr
    with pytest.raises(SpoolError, match="open already"):
        Spool(tmp_path, "p")
    fill(spool, 1, 3)
    spool.close()
    Spool(tmp_path, "p").close()


def test_the_spool_of_another_producer_is_refused(tmp_path: Path) -> None:
    Spool(tmp_path, "gateway-7").close()
    with pytest.raises(SpoolError, match="belongs to producer 'gateway-7', not to 'gateway-8'"):
        Spool(tmp_path, "gateway-8")
    Spool(tmp_path, "gateway-7").close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "names no producer"),
        ('{"format": 1}', "names no producer"),
        ('{"format": 2, "producer": "p"}', "has format 2; this program reads format 1"),
        ('{"format": 1, "producer": "p", "base": -1}', "its base is no sequence"),
        ('{"format": 1, "producer": "p", "base": "x"}', "its base is no sequence"),
    ],
)
def test_a_damaged_identity_is_named(tmp_path: Path, text: str, reason: str) -> None:
    Spool(tmp_path, "p").close()
    (tmp_path / "spool.json").write_text(text)
    with pytest.raises(SpoolError, match=reason):
        Spool(tmp_path, "p")


def test_segments_without_an_identity_are_not_taken(tmp_path: Path) -> None:
    Spool(tmp_path, "p").close()
    (tmp_path / "spool.json").unlink()
    with pytest.raises(SpoolError, match=r"holds segments but no spool\.json"):
        Spool(tmp_path, "p")


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(0, "is not a file of a spool"), (8, "has format 17"), (14, "is damaged"), (21, "is damaged")],
)
def test_a_segment_with_another_header_is_named(tmp_path: Path, offset: int, reason: str) -> None:
    Spool(tmp_path, "p").close()
    flip(segments(tmp_path)[0], offset)
    with pytest.raises(SpoolError, match=reason):
        Spool(tmp_path, "p")
    flip(segments(tmp_path)[0], offset)
    Spool(tmp_path, "p").close()


def test_a_segment_that_was_not_named_yet_is_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    fill(spool, 1, 3)
    spool.close()
    (tmp_path / "00000000000000000004.new").write_bytes(b"half")
    spool = Spool(tmp_path, "p", max_bytes=LEAST_MAX_BYTES)
    fill(spool, 4, 20, size=2000)
    assert numbers(read_all(spool)) == list(range(1, 21))


def test_many_threads_get_numbers_of_their_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p", sync_each=False)
    given: list[int] = []

    def append() -> None:
        for _ in range(200):
            given.append(spool.append(b"x" * 64, 1))

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 801))
    assert all(read_all(spool))


# Looking into it.


def test_inspect_says_what_is_there_while_it_is_in_use(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p")
    fill(spool, 1, 9)
    spool.acknowledge(4)
    flip(segments(tmp_path)[0], HEADER.size + RECORD_BYTES + 30)
    done = subprocess.run(
        [sys.executable, "-m", "espclient.espspool", "inspect", tmp_path, "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout) == inspect(tmp_path)
    (segment,) = inspect(tmp_path)["segments"]
    assert (segment["first"], segment["last"], segment["batches"]) == (1, 9, 8)
    assert segment["damaged_bytes"] == RECORD_BYTES
    fill(spool, 10, 10)


@pytest.mark.parametrize("what", ["nothing", "empty"])
def test_inspect_of_what_is_no_spool_is_an_error(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "nothing" if what == "nothing" else tmp_path
    done = subprocess.run(
        [sys.executable, "-m", "espclient.espspool", "inspect", folder],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a spool: it has no spool.json" in done.stderr
