"""CPU of a unary call from 1 to 1,000 connections, at the same total rate and with the same calls a read.

Usage: bench/growth.py [rounds] [bursts a second]

Each burst is 20 EmptyCalls in one write on one connection, the connections in turn; the next burst goes out on time
whether or not the answers are here. grpc-interop-server on core 0, the client on core 1. CPU is the server's, user and
system.
"""

from __future__ import annotations

import os
import selectors
import statistics
import subprocess
import sys
import time
from pathlib import Path

from espd import ROOT, cpu_seconds

sys.path.append(str(ROOT / "Tests/Attacks"))

from frames import DATA, EMPTY_CALL, END_HEADERS, END_STREAM, HEADERS, Attacker, fields, frame, message  # noqa: E402

BURST = 20
SECONDS = 4
COUNTS = (1, 10, 100, 1000)


def burst(client: Attacker, head: bytes, body: bytes) -> bytes:
    out = b""
    for _ in range(BURST):
        stream, client.next_stream = client.next_stream, client.next_stream + 2
        out += frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, body)
    return out


def measure(port: int, pid: int, count: int, rate: int) -> float:
    """CPU microseconds a call."""
    head, body = fields(EMPTY_CALL), message(b"")
    clients = [Attacker(port) for _ in range(count)]
    for client in clients:
        client.ping()
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.socket.setblocking(False)
    total = rate * SECONDS
    before, begin = cpu_seconds(pid), time.perf_counter()
    for index in range(total):
        due = begin + index / rate
        while (left := due - time.perf_counter()) > 0:
            for key, _ in selector.select(left):
                key.fileobj.recv(1 << 16)
        client = clients[index % count]
        client.socket.send(burst(client, head, body))
    time.sleep(0.3)
    used = cpu_seconds(pid) - before
    for client in clients:
        client.socket.close()
    return used / (total * BURST) * 1e6


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    server = subprocess.Popen(
        ["taskset", "-c", "0", str(Path(ROOT) / ".build/release/grpc-interop-server"), "--port", "0",
         "--event-loops", "1"], stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(0, {1})
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        measure(port, server.pid, 10, rate)
        figures: dict[int, list[float]] = {count: [] for count in COUNTS}
        for _ in range(rounds):
            for count in COUNTS:
                figures[count].append(measure(port, server.pid, count, rate))
        one = figures[1]
        for count in COUNTS:
            ratio = statistics.median(many / single for many, single in zip(figures[count], one, strict=True))
            print(f"{count:5} connections: {statistics.median(figures[count]):.2f} us a call, {ratio:.2f} of one's")
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
