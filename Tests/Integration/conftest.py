"""Fixtures of the integration tests: the real espd with its real PostgreSQL, and what the clients need.

The sizes are those of a quick run. ESP_TEST_FULL=1 gives the full ones, named where they are used; ESP_TEST_SEED makes
random moments repeat (each test prints its seed).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2_grpc

from espd_process import ESPD, Espd

TEST_TIMEOUT = 900 if os.environ.get("ESP_TEST_FULL") else 180
"""Seconds after which a test has hung."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


@pytest.fixture(scope="session", autouse=True)
def _espd_is_built() -> None:
    if not ESPD.exists():
        pytest.exit(f"{ESPD} is not there: run make build", returncode=2)


@pytest.fixture(scope="session")
def shared() -> Iterator[Espd]:
    """One server for all tests that break nothing; each uses device and producer ids of its own."""
    server = Espd()
    try:
        yield server.start()
        server.stop()
    finally:
        server.remove()


@pytest.fixture
def make_espd() -> Iterator[Callable[..., Espd]]:
    """Makes servers of a test's own, not started; whatever is left of them at its end is removed."""
    servers: list[Espd] = []

    def make(*arguments: object, **settings: str) -> Espd:
        servers.append(Espd(None, *map(str, arguments), **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def espd(make_espd: Callable[..., Espd]) -> Espd:
    """A started server of the test's own."""
    return make_espd().start()


@pytest.fixture
def channel(shared: Espd) -> Iterator[grpc.Channel]:
    """A connection to the shared server."""
    with open_channel(shared.target) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> telemetry_pb2_grpc.TelemetryServiceStub:
    return telemetry_pb2_grpc.TelemetryServiceStub(channel)


@pytest.fixture
def seed() -> str:
    """Of random moments and data; shown when the test fails."""
    seed = os.environ.get("ESP_TEST_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"ESP_TEST_SEED={seed}")
    return seed


@pytest.fixture
def is_full() -> bool:
    """Full sizes are wanted."""
    return bool(os.environ.get("ESP_TEST_FULL"))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for devices and producers that no other test has."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return f"{plain[:60]}-{random.SystemRandom().randrange(1 << 32):08x}"
