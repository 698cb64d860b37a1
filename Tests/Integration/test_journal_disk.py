"""The journal on real file systems that are full, or may not be written to, and with a second process.

The file systems are small ones in memory, in a mount namespace of their own: these tests need root.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

from journal_writer import JournalWriter
from test_espctl import inspect


class SmallDisk:
    """A context: a tmpfs that only processes in its namespace see, and we through /proc."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder = folder
        self.options = options

    def __enter__(self) -> SmallDisk:
        if os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        self.folder.mkdir()
        script = 'mount -t tmpfs -o "$1" none "$2" && echo mounted && exec cat'
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", self.options, self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.holder.stdout is not None and self.holder.stderr is not None
        if self.holder.stdout.readline() != "mounted\n":
            _, reason = self.holder.communicate(timeout=30)
            pytest.skip(f"no file system can be mounted here: {reason.strip()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        # The end of its input ends it, and with it the namespace and the file system.
        self.holder.communicate(timeout=30)

    @property
    def enter(self) -> list[str]:
        """Before a command: it runs in there."""
        return ["nsenter", "--mount", f"--target={self.holder.pid}", "--"]

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def journal_from_outside(self) -> Path:
        return Path(f"/proc/{self.holder.pid}/root{self.journal}")

    def remount(self, options: str) -> None:
        subprocess.run([*self.enter, "mount", "-o", f"remount,{options}", self.folder], check=True, timeout=30)

    def writer(self) -> JournalWriter:
        return JournalWriter(self.journal, prefix=self.enter)


@pytest.mark.parametrize(("small", "large", "reason"), [
    ("size=400k", "size=8m", "is to stay free"),
    ("size=8m,nr_inodes=8", "size=8m,nr_inodes=100", "No space left on device"),
])
def test_a_full_disk_is_said_and_passes_by_itself(tmp_path: Path, small: str, large: str, reason: str) -> None:
    with SmallDisk(tmp_path / "small", small) as disk:
        with disk.writer() as writer:
            assert reason in writer.read("full")
            before = len(writer.acked)
            assert inspect(disk.journal_from_outside).returncode == 0
            disk.remount(large)
            # More than can have waited.
            writer.read("acked", count=500)
            assert len(writer.acked) >= before + 500
        with disk.writer() as again:
            again.read("ready")
            assert writer.kept.items() <= again.found.items()


def test_a_directory_that_cannot_be_written_to_is_named_at_the_start(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "small", "size=4m") as disk:
        with disk.writer() as writer:
            writer.read("acked", count=50)
        disk.remount("ro")
        with disk.writer() as refused:
            said = refused.read("error")
            assert refused.process.wait(30) == 1
        assert said == (f"the journal in {disk.journal} cannot be used: "
                        f"opening {disk.journal}/lock: Read-only file system")
        result = inspect(disk.journal_from_outside)
        assert result.returncode == 0 and "producer" in result.stdout, result
        disk.remount("rw")
        with disk.writer() as again:
            again.read("acked")
            assert writer.kept.items() <= again.found.items()


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with JournalWriter(journal) as first:
        first.read("ready")
        with JournalWriter(journal) as second:
            said = second.read("error")
            assert second.process.wait(30) == 1
        assert said == f"the journal in {journal} cannot be used: another process has it open"
        assert inspect(journal).returncode == 0
        first.read("acked", count=200)
    with JournalWriter(journal) as third:
        third.read("ready")
        assert first.kept.items() <= third.found.items()
