"""Streams a feed from a thread of its own, through whatever breaks, and knows what must be in the tables at the end."""

from __future__ import annotations

import threading
from typing import Self

from espclient import ResumingStream

from database import Database
from espd_process import wait_for
from readings import Checksum, Feed


class Sender:
    """Sends batch after batch until told to stop; then waits for the last answer."""

    def __init__(self, target: str, feed: Feed, *, window: int = 16, ack: str = "committed") -> None:
        self.feed = feed
        self.events: list[str] = []
        """What the stream said of breaks."""
        self.answered = 0
        """Sequence of the last answered batch."""
        self._target = target
        self._window = window
        self._ack = ack
        self._last: int | None = None
        self._sent = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._last = 0
        self._thread.join(10)

    @property
    def totals(self) -> object:
        return self._stream.totals

    def await_progress(self, batches: int = 2) -> None:
        """Waits until more batches are answered than now."""
        wanted = self.answered + batches
        wait_for(lambda: self.answered >= wanted or self._failure, "the stream goes on", timeout=60)
        if self._failure:
            raise self._failure

    def finish(self, more: int = 10) -> int:
        """Lets it send some more batches and ends it; returns the number of batches sent, all answered."""
        self._last = self._sent + more
        self._thread.join(120)
        assert not self._thread.is_alive(), f"the stream does not end; {self.events[-3:]}"
        if self._failure:
            raise self._failure
        return self._sent

    def _run(self) -> None:
        try:
            with ResumingStream(self._target, self.feed.name, window=self._window, ack=self._ack,
                                on_result=self._on_result, on_event=self.events.append) as stream:
                self._stream = stream
                while self._last is None or self._sent < self._last:
                    assert stream.send(self.feed.batch(self._sent + 1)) == self._sent + 1
                    self._sent += 1
        except BaseException as failure:  # noqa: BLE001: handed over to the test
            self._failure = failure

    def _on_result(self, result: object, _: object) -> None:
        self.answered = max(self.answered, result.sequence)


def assert_stored_once(database: Database, feed: Feed, batches: int, *, blocks: bool = False) -> None:
    """The table holds exactly the rows of the feed's batches, in every column, and the cursor stands at the end."""
    where = f"device_id LIKE '{feed.name}-%'"
    wanted = feed.checksum(batches, blocks=blocks)
    stored = Checksum.stored(database, where)
    assert stored.count == wanted.count, f"{stored.count - wanted.count:+} rows"
    assert stored == wanted
    assert database.value(
        f"SELECT last_sequence FROM producer_cursor WHERE producer_id = '{feed.name}'") == batches
    assert database.count("dead_letters", f"producer_id = '{feed.name}'") == 0
