"""The commands as a user runs them: processes, exit codes, output."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from espclient.console import pairs
from espclient.errors import BadInput
from espclient.query import format_float32

from server import TestServer
from store import Store, unpack

TIMEOUT = 60.0
"""Seconds after which a process that should have ended has failed."""

ROWS = 600
SERVER = Path(__file__).with_name("server.py")


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"espclient.{name}", *arguments]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *arguments), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        time.sleep(0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """600 rows of two devices, one a second, each with its own value."""
    path = tmp_path / "wells.csv"
    rows = [f"W-{n % 2},{n},{n * 0.25}" for n in range(ROWS)]
    path.write_text("\n".join(["device_id,s,pressure", *rows]) + "\n")
    return path


def arguments(file: Path, target: str, *more: str) -> list[str]:
    return [
        str(file), "--target", target, "--time-column", "s", "--start", "2026-01-01",
        "--batch", "10", *more,
    ]  # fmt: skip


def expected_values() -> list[float]:
    return [n * 0.25 for n in range(ROWS)]


def stored_values(store: Store) -> list[float]:
    return [unpack(row[2])["pressure"] for row in store.rows()]


@pytest.mark.parametrize("form", ["rows", "blocks"])
def test_espstream_sends_a_file_and_says_so_as_json(
    server: TestServer, file: Path, form: str
) -> None:
    done = run("espstream", *arguments(file, server.target, "--form", form, "--json"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["sent"], summary["stored"], summary["batches"]) == (ROWS, ROWS, 60)
    assert summary["producer"].startswith("csv-")
    assert stored_values(server.store) == expected_values()


def test_a_second_run_has_nothing_to_send(server: TestServer, file: Path) -> None:
    first = run("espstream", *arguments(file, server.target))
    second = run("espstream", *arguments(file, server.target))
    assert (first.returncode, second.returncode) == (0, 0)
    assert "nothing to send: the server has all 60 batches of this file" in second.stderr
    assert "600 readings were stored before this run" in second.stdout
    assert len(server.store.rows()) == ROWS


def test_a_cursor_beyond_the_file_sends_nothing_and_says_why(
    server: TestServer, file: Path
) -> None:
    server.store.set_cursor("p", 99)
    done = run("espstream", *arguments(file, server.target, "--producer", "p"))
    assert done.returncode == 0
    assert "has 99 batches of this producer, this file makes 60" in done.stderr
    assert server.store.rows() == []


def test_verdicts_are_shown_with_the_lines_of_the_file(server: TestServer, file: Path) -> None:
    lines = file.read_text().splitlines()
    lines[14] = "W-0,13,-5"
    lines[500] = "W-0,499,-5"
    file.write_text("\n".join(lines))
    done = run("espstream", *arguments(file, server.target, "--form", "blocks"))
    assert done.returncode == 4
    assert "line 15: quarantined, OUT_OF_RANGE, pressure" in done.stderr
    assert "line 501: quarantined, OUT_OF_RANGE, pressure" in done.stderr
    assert "stored 598, duplicate 0, quarantined 2" in done.stdout


def test_a_bad_cell_ends_the_run_after_what_is_before_it(server: TestServer, file: Path) -> None:
    lines = file.read_text().splitlines()
    good, lines[25] = lines[25], "W-0,24,many"
    file.write_text("\n".join(lines))
    broken = run("espstream", *arguments(file, server.target, "--producer", "p"))
    assert broken.returncode == 2
    assert "line 26, column pressure: 'many' is not a number" in broken.stderr
    assert len(server.store.rows()) == 20
    lines[25] = good
    file.write_text("\n".join(lines))
    mended = run("espstream", *arguments(file, server.target, "--producer", "p"))
    assert mended.returncode == 0
    assert stored_values(server.store) == expected_values()


def test_bad_rows_can_be_left_out_and_are_counted(server: TestServer, file: Path) -> None:
    lines = file.read_text().splitlines()
    lines[25] = "W-0,24,many"
    file.write_text("\n".join(lines))
    done = run("espstream", *arguments(file, server.target, "--skip-bad", "--json"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["bad_rows"] == 1
    assert "line 26, column pressure: 'many' is not a number; left out" in done.stderr
    assert len(server.store.rows()) == ROWS - 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--unit", "pressure=furlong"], "known are: psi, psig, psia, Pa, kPa, bar"),
        (["--unit", "depth=m"], "unknown signal 'depth'"),
        (["--map", "pressure"], "give it as NAME=VALUE"),
        (["--device", "a", "--device-column", "b"], "not both"),
        (["--retry-for", "0.1", "--target", "127.0.0.1:1"], "no progress for 0.1 s"),
    ],
)
def test_a_usage_error_or_an_absent_server_is_one_line(
    server: TestServer, file: Path, more: list[str], message: str
) -> None:
    done = run("espstream", *arguments(file, server.target, "--quiet", *more))
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_older_of_two_runs_of_one_producer_ends_with_code_3(
    server: TestServer, file: Path
) -> None:
    more = ("--producer", "p", "--rate", "100")
    first = subprocess.Popen(
        command("espstream", *arguments(file, server.target, *more)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(server.store.rows()) >= 20)
    second = run("espstream", *arguments(file, server.target, "--producer", "p"))
    _, errors = first.communicate(timeout=TIMEOUT)
    assert (first.returncode, second.returncode) == (3, 0)
    assert "another stream of this producer has taken over" in errors
    assert stored_values(server.store) == expected_values()


def test_the_rate_is_kept(server: TestServer, file: Path) -> None:
    done = run("espstream", *arguments(file, server.target, "--rate", "600", "--json"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["seconds"] >= (ROWS - 10) / 600


def test_a_signal_ends_a_run_with_totals_and_the_next_goes_on(
    server: TestServer, file: Path
) -> None:
    process = subprocess.Popen(
        command("espstream", *arguments(file, server.target, "--rate", "100", "--json")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_for(lambda: len(server.store.rows()) >= 30)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGTERM
    summary = json.loads(output)
    assert summary["sent"] == summary["stored"] == len(server.store.rows()) < ROWS
    assert summary["unconfirmed"] == 0
    assert run("espstream", *arguments(file, server.target)).returncode == 0
    assert stored_values(server.store) == expected_values()


def test_a_client_killed_at_random_moments_and_started_again_doubles_nothing(
    server: TestServer, file: Path
) -> None:
    source = random.Random(1)
    for _ in range(5):
        goal = min(ROWS, len(server.store.rows()) + source.randint(1, 100))
        process = subprocess.Popen(
            command("espstream", *arguments(file, server.target, "--rate", "1000", "--quiet"))
        )
        wait_for(lambda goal=goal: len(server.store.rows()) >= goal)
        process.kill()
        process.wait(TIMEOUT)
    done = run("espstream", *arguments(file, server.target, "--json"))
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert summary["skipped_readings"] + summary["sent"] == ROWS
    assert stored_values(server.store) == expected_values()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The file in which a server process keeps its rows."""
    return tmp_path / "server.db"


@pytest.fixture
def start_server(database: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Starts a server process on a port and waits until it is ready."""
    running: list[subprocess.Popen[str]] = []

    def start(port: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), "--port", str(port), "--database", str(database)],
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        process.port = int(process.stdout.readline())
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()


def test_a_server_process_killed_at_random_moments_costs_and_doubles_nothing(
    start_server: Callable[[int], subprocess.Popen[str]], database: Path, file: Path
) -> None:
    source = random.Random(2)
    server = start_server(0)
    port = server.port
    client = subprocess.Popen(
        command("espstream", *arguments(file, f"127.0.0.1:{port}", "--rate", "300", "--json")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    store = Store(database)
    for _ in range(5):
        goal = min(ROWS - 50, len(store.rows()) + source.randint(1, 80))
        wait_for(lambda goal=goal: len(store.rows()) >= goal)
        server.kill()
        server.wait(TIMEOUT)
        server = start_server(port)
    output, _ = client.communicate(timeout=TIMEOUT)
    assert client.returncode == 0
    summary = json.loads(output)
    # A server may be killed before the client is back, on a busy machine: then two kills are one break.
    assert summary["reconnects"] >= 1
    assert summary["sent"] == summary["stored"] + summary["resumed"] + summary["duplicate"] == ROWS
    assert stored_values(store) == expected_values()


def test_espquery_prints_what_espstream_sent_and_espstream_reads_it_again(
    server: TestServer, file: Path, tmp_path: Path
) -> None:
    run("espstream", *arguments(file, server.target))
    common = ["--target", server.target, "--start", "2026-01-01", "--end", "2026-01-02"]
    paged = run("espquery", *common)
    exported = run("espquery", *common, "--export")
    assert paged.returncode == exported.returncode == 0
    assert paged.stdout == exported.stdout
    rows = list(csv.DictReader(io.StringIO(paged.stdout)))
    assert [float(row["pressure"]) for row in rows] == expected_values()
    assert rows[1]["timestamp"] == "2026-01-01T00:00:01Z"
    assert rows[1]["rpm"] == ""

    copy = tmp_path / "copy.csv"
    copy.write_text(paged.stdout)
    other = TestServer()
    try:
        again = run("espstream", str(copy), "--target", other.target)
        assert again.returncode == 0, again.stderr
        assert other.store.rows() == server.store.rows()
    finally:
        other.stop()


def test_espquery_pages_selects_limits_and_counts(server: TestServer, file: Path) -> None:
    run("espstream", *arguments(file, server.target))
    for number in range(5):
        server.store.double(f"X-{number}")
    common = ["--target", server.target, "--start", "2026-01-01", "--count"]
    total = len(server.store.rows())
    assert total > 10_000
    assert run("espquery", *common).stdout == f"{total}\n"
    assert run("espquery", *common, "--device", "W-1").stdout == "300\n"
    assert run("espquery", *common, "--limit", "10001").stdout == "10001\n"
    assert run("espquery", *common, "--limit", "7", "--export").stdout == "7\n"
    assert run("espquery", *common, "--end", "2026-01-01T00:00:05").stdout == "160\n"
    newest = run("espquery", *common[:-1], "--order", "desc", "--limit", "1").stdout
    assert "2026-01-01T00:09:59Z" in newest


def test_espquery_without_a_server_fails_in_one_line() -> None:
    done = run("espquery", "--target", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("espquery: UNAVAILABLE")


@pytest.mark.parametrize("value", [0.1, 85.2, 1e-45, 3.4028234663852886e38, 1851.8024, 16777217.0])
def test_a_float32_prints_as_its_shortest_decimal(value: float) -> None:
    [narrow] = struct.unpack("<f", struct.pack("<f", value))
    text = format_float32(narrow)
    assert struct.pack("<f", float(text)) == struct.pack("<f", narrow)
    assert len(text) <= len(repr(narrow))


def test_pairs_are_split_at_the_first_or_last_sign() -> None:
    assert pairs(["a=b=c"], "--unit") == {"a": "b=c"}
    assert pairs(["a=b=c"], "--map", last=True) == {"a=b": "c"}
    with pytest.raises(BadInput, match="twice"):
        pairs(["a=b", "a=c"], "--unit")


def test_a_proxy_of_the_environment_is_not_used(server: TestServer, file: Path) -> None:
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:1", "grpc_proxy": "http://[::1]:1"}
    done = subprocess.run(
        command("espstream", *arguments(file, server.target, "--retry-for", "5")),
        env=environment,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
