"""Fixtures: a server for each test, and short waits."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from espclient import connection
from espclient.retry import Backoff

from server import TestServer


@pytest.fixture
def server() -> Iterator[TestServer]:
    """A fresh server on a free port."""
    running = TestServer()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes tests of broken connections fast; nothing depends on the length of a wait."""
    quick = functools.partial(Backoff, first=0.002, longest=0.1)
    monkeypatch.setattr(connection, "Backoff", quick)
