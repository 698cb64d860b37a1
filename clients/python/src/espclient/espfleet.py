"""The command `espfleet`: a small simulated fleet whose live readings stream in until it is
stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from espclient.console import (
    DEFAULT_TARGET,
    Progress,
    Stop,
    describe_totals,
    positive,
    positive_float,
)
from espclient.errors import EspError, Interrupted, Rewound
from espclient.fleet import SimulatedPump, make_fleet
from espclient.protocol import ACK_LEVELS, telemetry_pb2
from espclient.stream import ResumingStream

WINDOW = 600
"""Batches kept while the server is away: ten minutes at one a second. Later readings are then not
made at all.
"""
GRACE = 2.0
"""Seconds for outstanding answers at the end."""
SOURCE_SYSTEM = "espfleet"


@dataclass(slots=True)
class LiveFleet:
    """Makes a batch with one reading of each pump every `interval` seconds and sends it."""

    stream: ResumingStream
    pumps: list[SimulatedPump]
    interval: float
    stop: Stop
    progress: Progress
    duration: float | None = None
    missed: int = 0
    """Times without readings, because the server was away for longer than the window holds."""

    def run(self) -> None:
        """Returns after `duration` seconds; raises `Interrupted` when told to stop."""
        self.stream.open()
        began = time.monotonic()
        elapsed, tick = 0.0, 0
        while self.duration is None or tick * self.interval < self.duration:
            self.stop.sleep_until(began + tick * self.interval)
            batch = make_batch(self.pumps, time.time_ns() // 1000, elapsed)
            try:
                self.stream.send(batch, len(self.pumps))
            except Rewound as rewound:
                self.progress.note(str(rewound))
            self.progress.update()
            now = int((time.monotonic() - began) / self.interval)
            self.missed += max(0, now - tick - 1)
            elapsed = (max(now, tick + 1) - tick) * self.interval
            tick = max(now, tick + 1)
        self.stream.close()


def make_batch(pumps: list[SimulatedPump], time_us: int, elapsed: float) -> telemetry_pb2.Batch:
    """One reading of each pump at `time_us`, `elapsed` seconds after the one before."""
    batch = telemetry_pb2.Batch()
    for pump in pumps:
        reading = batch.readings.add(
            device_id=pump.device_id, source_system=SOURCE_SYSTEM, **pump.step(elapsed)
        )
        reading.timestamp.FromMicroseconds(time_us)
    return batch


def main() -> None:
    """Entry point."""
    sys.exit(run(parse_arguments(sys.argv[1:])))


def run(arguments: argparse.Namespace) -> int:
    """Streams until the end and returns the exit code: 0 also after a signal."""
    stop = Stop()
    began = time.monotonic()
    progress = Progress(lambda: describe(stream, began, arguments.devices), quiet=arguments.quiet)
    stream = ResumingStream(
        arguments.target,
        arguments.producer,
        ack=arguments.ack,
        window=WINDOW,
        on_event=progress.note,
        stop=stop,
    )
    pumps = make_fleet(arguments.devices, arguments.seed)
    fleet = LiveFleet(stream, pumps, arguments.interval, stop, progress, arguments.duration)
    code = 0
    try:
        fleet.run()
    except Interrupted:
        pass
    except EspError as error:
        progress.note(f"espfleet: {error}")
        code = error.exit_code
    finally:
        stream.leave(GRACE)
        progress.clear()
    if not arguments.quiet:
        print(describe_totals(stream.totals, time.monotonic() - began))
        if fleet.missed:
            print(f"{fleet.missed} times without readings while the server was away")
    return code


def describe(stream: ResumingStream, began: float, devices: int) -> str:
    """The status line."""
    totals, seconds = stream.totals, time.monotonic() - began
    state = "connected" if stream.is_connected else "not connected"
    return (
        f"{devices} devices, {state}, {totals.sent} readings in {seconds:.0f} s,"
        f" {totals.unconfirmed} under way, {totals.quarantined + totals.rejected} refused,"
        f" {totals.reconnects} reconnects"
    )


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="espfleet",
        description="Streams live readings of simulated pumps ESP-001, ESP-002 ... until stopped.",
    )
    add = parser.add_argument
    add("--target", default=DEFAULT_TARGET, metavar="HOST:PORT", help="default %(default)s")
    add(
        "--producer", default="espfleet", metavar="ID", help="one running fleet an id (%(default)s)"
    )
    add("--devices", type=positive, default=8, metavar="N", help="default %(default)s")
    add("--interval", type=positive_float, default=1.0, metavar="S", help="seconds (%(default)s)")
    add("--duration", type=positive_float, metavar="S", help="default: until stopped")
    add("--seed", type=int, metavar="N", help="the same pumps and values again")
    add("--ack", choices=list(ACK_LEVELS), default="durable", help="default %(default)s")
    add("--quiet", action="store_true", help="errors only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
