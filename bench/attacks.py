"""How much slower other clients are served while an attack runs: p99 of a client with the attack over p99 without.

Usage: bench/attacks.py [rounds] [seconds a window] [attack ...]

grpc-interop-server on core 0; the observer, 200 calls a second over one connection, and the attacker, in processes of
their own, on core 1, the attacker at the lowest priority: what is measured is the server, not the fight of the clients
for a core. In each round a quiet window and one with the attack, in turns; the figure is the median of their ratios.
ESP_TEST_INTEROP_SERVER names another build, to compare.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = os.environ.get("ESP_TEST_INTEROP_SERVER", str(ROOT / ".build/release/grpc-interop-server"))
sys.path.append(str(ROOT / "Tests/Attacks"))

from frames import (  # noqa: E402
    CONTINUATION, EMPTY_CALL, END_HEADERS, END_STREAM, FULL_DUPLEX_CALL, HEADERS, RESET, UNARY_CALL, Attacker, fields,
    frame, message,
)

CALLS_PER_SECOND = 200


def resets(port: int) -> None:
    """50,000 HEADERS and RST_STREAM in 10 s."""
    flood_head = fields(UNARY_CALL)
    while True:
        with Attacker(port) as attacker:
            for _ in range(90):
                flood = b""
                for _ in range(100):
                    stream, attacker.next_stream = attacker.next_stream, attacker.next_stream + 2
                    flood += frame(HEADERS, END_HEADERS, stream, flood_head)
                    flood += frame(RESET, 0, stream, bytes([0, 0, 0, 8]))
                begin = time.monotonic()
                attacker.send(flood)
                time.sleep(max(0, 100 / 5000 - (time.monotonic() - begin)))


def continuations(port: int) -> None:
    while True:
        with Attacker(port) as attacker:
            attacker.send(frame(HEADERS, 0, 1, fields(UNARY_CALL)))
            while attacker.send(frame(CONTINUATION, 0, 1, b"\0\1x\1y") * 100):
                time.sleep(0.001)


def bombs(port: int) -> None:
    """1 MB of gzip that inflates to 1 GB, one after the other."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    body = b"\1" + struct.pack(">I", len(bomb)) + bomb
    while True:
        with Attacker(port) as attacker, suppress(AssertionError):
            stream = attacker.open(UNARY_CALL, **{"grpc-encoding": "gzip"})
            for at in range(0, len(body), 60_000):
                attacker.data(stream, body[at:at + 60_000], end=at + 60_000 >= len(body))
                if at == 0:
                    attacker.ping()
            attacker.until_end(stream)


def claims(port: int) -> None:
    """Messages that claim 4 GiB."""
    while True:
        with Attacker(port) as attacker:
            for _ in range(100):
                attacker.data(attacker.open(UNARY_CALL), message(b"", claimed=0xFFFF_FFFF))
            attacker.ping()


def headers(port: int) -> None:
    """63 KiB of headers, in frames of 16 KiB."""
    block = fields(UNARY_CALL, x="a" * (63 << 10))
    pieces = [block[at:at + 16_000] for at in range(0, len(block), 16_000)]
    while True:
        with Attacker(port) as attacker:
            for stream in range(1, 201, 2):
                flood = frame(HEADERS, END_STREAM, stream, pieces[0])
                for piece in pieces[1:-1]:
                    flood += frame(CONTINUATION, 0, stream, piece)
                attacker.send(flood + frame(CONTINUATION, END_HEADERS, stream, pieces[-1]))
            attacker.ping()


def slow_readers(port: int) -> None:
    """100 streams on each of 10 connections ask for 200 KB each and never read."""
    ask = message(bytes.fromhex("120408c09a0c"))
    attackers = [Attacker(port, windows=False) for _ in range(10)]
    for attacker in attackers:
        for _ in range(100):
            attacker.data(attacker.open(FULL_DUPLEX_CALL), ask)
    time.sleep(3600)


def senders(port: int) -> None:
    """1,000 streams push at a handler that waits for its first answer to be read, as far as windows let them."""
    ask = message(bytes.fromhex("120408c09a0c"))
    push = message(b"\x1a\xeb\x07\x12\xe8\x07" + bytes(1000))
    attackers = [Attacker(port, windows=False) for _ in range(10)]
    for attacker in attackers:
        streams = [attacker.open(FULL_DUPLEX_CALL) for _ in range(100)]
        for stream in streams:
            attacker.data(stream, ask)
        for stream in streams:
            attacker.data(stream, push * (60_000 // len(push) // 100))
    while True:
        for attacker in attackers:
            with suppress(AssertionError):
                attacker.ping()
        time.sleep(0.2)


def handshakes(port: int) -> None:
    """500 connections that say nothing, made anew as they are cut."""
    held: list[socket.socket] = []
    while True:
        held.append(socket.create_connection(("127.0.0.1", port)))
        if len(held) > 500:
            held.pop(0).close()
        time.sleep(0.002)


ATTACKS: dict[str, Callable[[int], None]] = {
    "resets": resets, "continuations": continuations, "bombs": bombs, "claims": claims, "headers": headers,
    "slow_readers": slow_readers, "senders": senders, "handshakes": handshakes,
}


def observe(port: int, seconds: float, results: multiprocessing.Queue) -> None:
    """p50 and p99 in microseconds; a call that begins late counts from when it should have begun."""
    os.sched_setaffinity(0, {1})
    times = []
    with Attacker(port) as client:
        begin = time.perf_counter()
        for index in range(int(seconds * CALLS_PER_SECOND)):
            due = begin + index / CALLS_PER_SECOND
            time.sleep(max(0, due - time.perf_counter()))
            stream = client.open(EMPTY_CALL)
            client.data(stream, message(b""), end=True)
            client.until_end(stream)
            times.append((time.perf_counter() - due) * 1e6)
    times.sort()
    results.put((times[len(times) // 2], times[int(len(times) * 0.99)]))


def attack(name: str, port: int) -> None:
    os.sched_setaffinity(0, {1})
    os.nice(19)
    while True:
        with suppress(OSError, AssertionError):
            ATTACKS[name](port)


def window(port: int, seconds: float, name: str | None) -> tuple[float, float]:
    attacker = multiprocessing.Process(target=attack, args=(name, port), daemon=True) if name else None
    if attacker:
        attacker.start()
        time.sleep(0.5)
    results: multiprocessing.Queue = multiprocessing.Queue()
    observer = multiprocessing.Process(target=observe, args=(port, seconds, results))
    observer.start()
    figures = results.get(timeout=seconds + 60)
    observer.join()
    if attacker:
        attacker.kill()
        attacker.join()
        time.sleep(0.3)
    return figures


def resident_mib(pid: int, line: str) -> int:
    found = re.search(rf"^{line}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) // 1024


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3
    print(f"{'attack':14} p99 quiet us  p99 attacked us  ratio, median of {rounds} (min-max)  p50 ratio  peak MiB")
    for name in sys.argv[3:] or ATTACKS:
        server = subprocess.Popen(
            ["taskset", "-c", "0", SERVER, "--port", "0",
             "--event-loops", "1"], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rsplit(":", 1)[1])
            window(port, 1, None)
            pairs = []
            for index in range(rounds):
                order = [None, name] if index % 2 == 0 else [name, None]
                found = {kind: window(port, seconds, kind) for kind in order}
                pairs.append((found[None], found[name]))
            ratios = [attacked[1] / quiet[1] for quiet, attacked in pairs]
            middle = statistics.median(attacked[0] / quiet[0] for quiet, attacked in pairs)
            print(f"{name:14} {statistics.median(quiet[1] for quiet, _ in pairs):12.0f} "
                  f"{statistics.median(attacked[1] for _, attacked in pairs):16.0f}  {statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f}-{max(ratios):.2f})  {middle:.2f}  "
                  f"{resident_mib(server.pid, 'VmHWM')}", flush=True)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
