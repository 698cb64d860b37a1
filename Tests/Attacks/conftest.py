"""Attacks on the real servers: what they cost in memory, and that others are served meanwhile.

Counts are those of a quick run; ESP_TEST_FULL=1 gives the full ones. How much slower others are served is measured by
bench/attacks.py: a busy machine must not fail a test.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for folder in ("Integration", "Interop"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / folder))

from espd_process import ESPD, Espd  # noqa: E402
from interop_server import SERVER, InteropServer  # noqa: E402

TEST_TIMEOUT = 900 if os.environ.get("ESP_TEST_FULL") else 240
"""Seconds after which a test has hung."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


@pytest.fixture(scope="session", autouse=True)
def _servers_are_built() -> None:
    for program in (ESPD, SERVER):
        if not program.exists():
            pytest.exit(f"{program} is not there: run make build", returncode=2)


@pytest.fixture
def is_full() -> bool:
    return bool(os.environ.get("ESP_TEST_FULL"))


@pytest.fixture
def interop() -> Iterator[InteropServer]:
    """A grpc-interop-server with the least budget there is: half of 64 MiB for each side."""
    with InteropServer("--memory-budget-mib", "64") as server:
        yield server


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
