"""Proofs that nothing acknowledged is lost or doubled: clients with a spool, servers, databases and disks that die.

Sizes are those of a quick run, the whole folder in about a minute; ESP_TEST_FULL=1 gives those named in each file.
ESP_TEST_SEED makes random moments repeat.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "Integration"))

from cluster import Cluster  # noqa: E402
from espd_process import ESPD, Espd  # noqa: E402

TEST_TIMEOUT = 3000 if os.environ.get("ESP_TEST_FULL") else 240
"""Seconds after which a test has hung."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


@pytest.fixture(scope="session", autouse=True)
def _espd_is_built() -> None:
    if not ESPD.exists():
        pytest.exit(f"{ESPD} is not there: run make build", returncode=2)


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


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """A PostgreSQL that outlives espd, and runs; each test has names of its own in it."""
    if not (_cluster.data / "postmaster.pid").exists():
        _cluster.start()
    return _cluster


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
