"""Resident memory of an idle espd, alone and with idle connections.

Usage: bench/idle.py [connections]. Each connection has sent its preface and its SETTINGS, and nothing else. Needs as
many file descriptors on both sides: ulimit -n.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path

import espd

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTLING_SECONDS = 2


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("espd has ended")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with espd.running() as server, contextlib.ExitStack() as stack:
        host, port = server.address.rsplit(":", 1)
        time.sleep(SETTLING_SECONDS)
        alone = resident_mib(server.pid)
        for _ in range(count):
            stack.enter_context(socket.create_connection((host, int(port)))).sendall(GREETING)
        time.sleep(SETTLING_SECONDS)
        print(f"alone {alone:.0f} MiB, with {count} idle connections {resident_mib(server.pid):.0f} MiB")


if __name__ == "__main__":
    main()
