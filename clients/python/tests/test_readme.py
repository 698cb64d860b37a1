"""The examples of README.md do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_wells_3w import WELLS, expected

from server import TestServer

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def example(language: str, containing: str) -> str:
    """The one code block of that language with that text in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    [block] = [block for block in blocks if containing in block]
    return block


def run_shell(script: str, server: TestServer) -> subprocess.CompletedProcess[str]:
    """Runs a block with the commands of this interpreter and the server of the test."""
    script = re.sub(
        r"\.build-python/bin/(esp\w+)",
        lambda found: f"{sys.executable} -m espclient.{found[1]} --target {server.target}",
        script,
    ).replace("../shared/data/wells_3w.csv", str(WELLS))
    return subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.skipif(WELLS is None, reason="the 3W data set is absent")
def test_the_wells_example_stores_every_row(server: TestServer) -> None:
    done = run_shell(example("sh", "espstream --producer wells-3w"), server)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "ignored columns: event_class\n"
    assert "stored 9300, duplicate 0, quarantined 0, rejected 0, resumed 0" in done.stdout
    assert len(server.store.rows()) == len(expected()) == 9300


def test_the_library_example_stores_its_reading(server: TestServer) -> None:
    exec(example("python", "ResumingStream").replace("127.0.0.1:8095", server.target), {})
    assert [row[0] for row in server.store.rows()] == ["ESP-001"]


def test_the_spool_example_stores_its_reading(
    server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(example("python", "StoreAndForward").replace("127.0.0.1:8095", server.target), {})
    assert [row[0] for row in server.store.rows()] == ["ESP-001"]
    done = subprocess.run(
        [sys.executable, "-m", "espclient.espspool", "inspect", "spool-of-gateway-7"],
        capture_output=True, text=True, timeout=60, check=True,
    )
    assert "producer gateway-7" in done.stdout
    assert "1 batches (1 to 1), 1 readings" in done.stdout
