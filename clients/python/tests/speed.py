"""Measures the client: CPU time for a million readings, against a server that only counts.

Run as a program: `python tests/speed.py [READINGS]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc

from espclient.encoding import count_readings
from espclient.protocol import telemetry_pb2 as pb
from espclient.times import format_iso

HEADER = (
    "device_id,timestamp,temperature,vibration,pressure,flow_rate,motor_current,rpm,"
    "intake_pressure,discharge_pressure"
)
CASES = {
    "rows": [],
    "blocks": ["--form", "blocks"],
    "rows, three columns converted": [
        "--unit", "temperature=degF", "--unit", "pressure=Pa", "--unit", "intake_pressure=bar"
    ],
}  # fmt: skip


def count(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
    """Opens at 0 and says of every batch that all of it is stored."""
    next(requests)
    yield pb.IngestStreamResponse(opened=pb.StreamOpened()).SerializeToString()
    for request in requests:
        batch = pb.IngestStreamRequest.FromString(request).batch
        result = pb.BatchResult(sequence=batch.sequence, stored=count_readings(batch))
        yield pb.IngestStreamResponse(result=result).SerializeToString()


def write(path: Path, readings: int) -> None:
    """A file of 100 devices, in runs of 1000 readings."""
    with path.open("w", encoding="utf-8") as file:
        print(HEADER, file=file)
        for n in range(readings):
            time = format_iso(1_767_225_600_000_000 + n * 10_000)
            values = f"{85 + n % 97 / 100},0.{n % 89:03},{250 + n % 11 / 10},{1500 + n % 7 / 10}"
            values += f",{40 + n % 13 / 100},3450,{900 + n % 17 / 10},{2800 + n % 19 / 10}"
            print(f"ESP-{n // 1000 % 100:03},{time},{values}", file=file)


def main() -> None:
    """Prints a line for each case."""
    readings = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    server = grpc.server(futures.ThreadPoolExecutor(2))
    method = grpc.stream_stream_rpc_method_handler(count)
    handler = grpc.method_handlers_generic_handler(
        "esp.v1.TelemetryService", {"IngestStream": method}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.csv"
        write(path, readings)
        for name, options in CASES.items():
            before = os.times()
            command = [sys.executable, "-m", "espclient.espstream", str(path), "--quiet", *options]
            subprocess.run([*command, "--target", f"127.0.0.1:{port}"], check=True)
            after = os.times()
            seconds = after.children_user + after.children_system
            seconds -= before.children_user + before.children_system
            wall = after.elapsed - before.elapsed
            print(f"{name}: {seconds:.1f} CPU s of the client, {wall:.1f} s, {readings} readings")
    server.stop(0).wait()


if __name__ == "__main__":
    main()
