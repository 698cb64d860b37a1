"""The simulated fleet: plausible values that fit each other, the same for the same seed."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time

import pytest

from espclient.espfleet import make_batch
from espclient.fleet import make_fleet

from server import TestServer
from store import unpack

TIMEOUT = 60.0

PLAUSIBLE: dict[str, tuple[float, float]] = {
    "temperature": (70, 100),
    "vibration": (0.02, 0.4),
    "pressure": (180, 330),
    "flow_rate": (1100, 1900),
    "motor_current": (33, 47),
    "rpm": (3350, 3550),
    "intake_pressure": (600, 1200),
    "discharge_pressure": (2200, 3400),
    "frequency": (59, 61),
}
USUAL: dict[str, float] = {
    "temperature": 85,
    "pressure": 250,
    "flow_rate": 1500,
    "motor_current": 40,
    "rpm": 3450,
    "intake_pressure": 900,
    "discharge_pressure": 2800,
    "frequency": 60,
}


def command(server: TestServer, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "espclient.espfleet", "--target", server.target, *arguments]


def test_values_stay_plausible_for_a_day() -> None:
    for pump in make_fleet(8, seed=1):
        for _ in range(24 * 60):
            values = pump.step(60.0)
            assert values.keys() == PLAUSIBLE.keys()
            for signal_name, (low, high) in PLAUSIBLE.items():
                assert low <= values[signal_name] <= high, (pump.device_id, signal_name, values)


def test_the_fleet_is_centred_on_the_usual_values() -> None:
    samples = [pump.step(60.0) for pump in make_fleet(200, seed=3)]
    for signal_name, usual in USUAL.items():
        mean = statistics.mean(sample[signal_name] for sample in samples)
        assert mean == pytest.approx(usual, rel=0.03), signal_name


def test_signals_follow_from_each_other() -> None:
    [pump] = make_fleet(1, seed=2)
    steps = [pump.step(60.0) for _ in range(2000)]

    def correlation(a: str, b: str) -> float:
        return statistics.correlation([s[a] for s in steps], [s[b] for s in steps])

    assert correlation("frequency", "rpm") > 0.9
    assert correlation("flow_rate", "intake_pressure") < -0.4
    assert correlation("flow_rate", "pressure") > 0.8
    for step in steps:
        assert step["discharge_pressure"] > step["intake_pressure"] + 1000
        assert abs(step["rpm"] - 60 * step["frequency"] * 0.97) < 0.05 * 60 * step["frequency"]


def test_a_seed_gives_the_same_pumps_whatever_their_number() -> None:
    few, many = make_fleet(2, seed=7), make_fleet(5, seed=7)
    batches = [make_batch(fleet[:2], 1_000_000, 1.0) for fleet in (few, many)]
    assert batches[0] == batches[1]
    assert make_batch(make_fleet(2, seed=8), 1_000_000, 1.0) != batches[0]
    assert [pump.device_id for pump in few] == ["ESP-001", "ESP-002"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_espfleet_streams_live_readings_until_a_signal(
    server: TestServer, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        command(server, "--devices", "3", "--interval", "0.05", "--seed", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + TIMEOUT
    while len(server.store.rows()) < 30 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    rows = server.store.rows()
    assert f"stored {len(rows)}, duplicate 0" in output
    assert {row[0] for row in rows} == {"ESP-001", "ESP-002", "ESP-003"}
    assert all(abs(row[1] / 1e6 - time.time()) < TIMEOUT for row in rows)
    assert set(unpack(rows[0][2])) == set(PLAUSIBLE)
    assert rows[0][3] == "espfleet"


def test_espfleet_ends_after_its_duration(server: TestServer) -> None:
    done = subprocess.run(
        command(server, "--devices", "2", "--interval", "0.1", "--duration", "0.5"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stored" in done.stdout
    assert 2 <= len(server.store.rows()) <= 10
