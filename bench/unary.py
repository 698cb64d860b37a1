"""CPU of a unary Ingest of one reading, stored in PostgreSQL, beside bare gRPC echo servers in the same run.

Usage: bench/unary.py PEERS [bench.py options], where PEERS is the folder of peers with `run.sh` and their builds in
$BUILD. Client: h2load, 8 connections with 100 requests in flight each. espd's CPU is without PostgreSQL's processes.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time

import espd
from espclient.protocol import telemetry_pb2 as pb


def body(count: int) -> bytes:
    """The 5-byte prefix and an IngestRequest of `count` readings of now."""
    request = pb.IngestRequest()
    for index in range(count):
        reading = request.readings.add(device_id=f"ESP{index % 10:03}", temperature=85.0 + index % 10, vibration=0.05,
                                       pressure=250, flow_rate=1500, motor_current=40.5, rpm=3450, intake_pressure=900,
                                       discharge_pressure=2800)
        reading.timestamp.FromMicroseconds(int(time.time() * 1e6) + index)
    encoded = request.SerializeToString()
    return b"\0" + struct.pack(">I", len(encoded)) + encoded


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with espd.running(pin="0") as server, tempfile.TemporaryDirectory() as folder:
        espd.pin_database(server, "1")
        files = {}
        for count in (1, 100):
            files[count] = os.path.join(folder, f"body_{count}.bin")
            with open(files[count], "wb") as file:
                file.write(body(count))
        subprocess.run([os.path.join(sys.argv[1], "run.sh"), "--target", server.address, "--name", "espd",
                        "--path", "/esp.v1.TelemetryService/Ingest", "--body", files[1], "--body100", files[100],
                        "--pid", str(server.pid), "--peers", "cpp-callback,floor-pbc", "--cases", "unary1",
                        "--rounds", "5", *sys.argv[2:]], check=True)


if __name__ == "__main__":
    main()
