"""Fixtures of the conformance suite: one espd, and for each rule a connection to break and one that must not notice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Integration"))

from espd_process import Espd  # noqa: E402

from http2 import Connection  # noqa: E402


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """Of the server under test: espd, or what ESP_TEST_HTTP2_PORT says listens on loopback already."""
    if given := os.environ.get("ESP_TEST_HTTP2_PORT"):
        yield int(given)
        return
    server = Espd()
    try:
        yield server.start().port
        server.stop()
    finally:
        server.remove()


@pytest.fixture(params=[False, True], ids=["whole", "cut"])
def is_cut(request: pytest.FixtureRequest) -> bool:
    """Each rule is tried in one piece and in many: where a read ends changes nothing."""
    return request.param


@pytest.fixture
def bystander(port: int) -> Iterator[Connection]:
    """A second connection, open before the rule is tried; it is still served afterwards."""
    with Connection(port) as bystander:
        bystander.assert_serves(1)
        yield bystander
        bystander.assert_serves(3)


@pytest.fixture
def connection(port: int, is_cut: bool, bystander: Connection) -> Iterator[Connection]:
    """A connection behind its handshake."""
    with Connection(port, is_cut=is_cut) as connection:
        yield connection
