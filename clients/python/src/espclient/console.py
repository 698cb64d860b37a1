"""What the three commands share: notes on stderr, a clean stop by signal, a progress line."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from espclient.errors import BadInput, Interrupted
from espclient.times import parse_iso
from espclient.totals import Totals

DEFAULT_TARGET = "127.0.0.1:8095"


class Stop:
    """Turns true at the first SIGINT or SIGTERM; a second one ends the process as usual."""

    def __init__(self) -> None:
        self.signal: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """As a shell shows a process that ended by the signal."""
        return 128 + (self.signal or signal.SIGINT)

    def sleep_until(self, moment: float) -> None:
        """Sleeps until `moment` of `time.monotonic()`; raises `Interrupted` when told to stop."""
        while not self():
            left = moment - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))
        raise Interrupted("stopped")

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)


class Progress:
    """A line on stderr: rewritten in place on a terminal, else a new one every `every` seconds."""

    def __init__(self, describe: Callable[[], str], *, quiet: bool, every: float = 10.0) -> None:
        self._describe = describe
        self._quiet = quiet
        self._in_place = sys.stderr.isatty()
        self._every = 0.2 if self._in_place else every
        self._next = time.monotonic() + self._every
        self._width = 0

    def update(self) -> None:
        """Writes the line when it is time."""
        if self._quiet or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every
        line = self._describe()
        if self._in_place:
            print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Writes a line of its own."""
        if not self._quiet:
            self.clear()
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the line that is rewritten in place."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
            self._width = 0


def describe_totals(totals: Totals, seconds: float) -> str:
    """The result of a run in two lines."""
    rate = totals.sent / seconds if seconds > 0 else 0.0
    text = (
        f"{totals.sent} readings in {totals.batches} batches, {seconds:.1f} s,"
        f" {rate:.0f} readings/s, {totals.reconnects} reconnects\n"
        f"stored {totals.stored}, duplicate {totals.duplicate}, quarantined {totals.quarantined},"
        f" rejected {totals.rejected}, resumed {totals.resumed}"
    )
    return text + (f", unconfirmed {totals.unconfirmed}" if totals.unconfirmed else "")


def iso_time(text: str) -> int:
    """Argument type: an ISO 8601 time, as microseconds."""
    try:
        return parse_iso(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time") from None


def positive(text: str) -> int:
    """Argument type: a whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def positive_float(text: str) -> float:
    """Argument type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def pairs(texts: list[str], option: str, *, last: bool = False) -> dict[str, str]:
    """`NAME=VALUE` arguments as a dictionary; `last`: the name may hold `=` itself."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition("=") if last else text.partition("=")
        if not equals or not name or not value:
            raise BadInput(f"{option} {text!r}: give it as NAME=VALUE")
        if name in found:
            raise BadInput(f"{option} names {name!r} twice")
        found[name] = value
    return found
