"""espctl as a user runs it: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from espd_process import ROOT

ESPCTL = Path(os.environ.get("ESP_TEST_ESPCTL", ROOT / ".build" / "release" / "espctl"))


def espctl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ESPCTL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)


def inspect(*arguments: object) -> subprocess.CompletedProcess[str]:
    return espctl("journal", "inspect", *arguments)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = inspect(tmp_path / "nowhere")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"espctl: the journal in {tmp_path}/nowhere cannot be used: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "nowhere").exists(), "reading made it"


def test_wrong_arguments_are_usage_errors(tmp_path: Path) -> None:
    for arguments in ([], ["journal"], ["journal", "inspect"], ["journal", "inspect", tmp_path, "--jsn"], ["jurnal"]):
        result = espctl(*arguments)
        helped = result.returncode == 0 and "USAGE" in result.stdout
        assert helped or result.returncode == 64, f"{arguments}: {result}"


def test_an_empty_folder_and_foreign_files_hold_no_records(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "1.segment").write_text("no name of ours")
    assert inspect(tmp_path).stdout == "0 records in 0 segments, 0 spare files\n"
    result = inspect("--json", "--records", tmp_path)
    assert result.returncode == 0
    assert json.loads(result.stdout) == {
        "damages": [], "directory": str(tmp_path), "keptAside": [], "producers": [], "records": 0, "segments": [],
        "spareFiles": 0,
    }


def test_a_segment_that_is_no_segment_is_damage(tmp_path: Path) -> None:
    name = f"{7:016x}.segment"
    (tmp_path / name).write_bytes(os.urandom(10_000))
    result = inspect(tmp_path)
    assert result.returncode == 2
    assert "damage: 7:0, 4096 bytes: its header is not what was written\n" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name]
