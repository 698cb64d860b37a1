"""Streamed ingest end to end beside raw binary COPY of the same rows into the same table, alternating.

Usage: bench/stream.py [readings] [rounds] [rows|blocks]. A: one IngestStream at DURABLE, batches of 1,000 readings,
encoded before the clock starts, as many in flight as the server takes; one clock stops at the last result, when all is
durable, another when the producer's cursor in the database says that every reading is committed. B: psycopg, COPY ... (FORMAT binary) of the very rows of A in transactions of 10,000, bytes cut beforehand.
"""

from __future__ import annotations

import statistics
import struct
import sys
import time
from collections.abc import Iterator

import espd
import grpc
import psycopg
from espclient.protocol import telemetry_pb2 as pb

BATCH = 1_000
ROWS_A_COPY = 10_000
DEVICES = 1_000
STREAM = "/esp.v1.TelemetryService/IngestStream"


def block_batches(readings: int) -> list[bytes]:
    """The same readings by column: a batch is 1,000 seconds of one device."""
    start = int(time.time()) - readings // DEVICES - BATCH - 60
    encoded = []
    for first in range(0, readings, BATCH):
        request = pb.IngestStreamRequest()
        number = first // BATCH
        block = request.batch.blocks.add(device_id=f"ESP-{number % DEVICES:04}",
                                         start_time_unix_us=(start + number // DEVICES * BATCH) * 1_000_000)
        block.time_delta_us.extend([0] + [1_000_000] * (BATCH - 1))
        indexes = range(first, first + BATCH)
        for name, value in SIGNALS.items():
            getattr(block, name).extend(map(value, indexes))
        encoded.append(request.SerializeToString())
    return encoded


SIGNALS = {
    "temperature": lambda index: 80 + index % 97 / 10, "vibration": lambda index: index % 13 / 100,
    "pressure": lambda index: 250 + index % 31, "flow_rate": lambda index: 1500 + index % 7,
    "motor_current": lambda index: 40 + index % 11 / 10, "rpm": lambda index: 3450 + index % 5,
    "intake_pressure": lambda index: 900 + index % 17, "discharge_pressure": lambda index: 2800 + index % 19,
}


def batches(readings: int) -> list[bytes]:
    """IngestStreamRequests: 1,000 devices in turn, a reading a second each, up to now; eight signals."""
    start = int(time.time()) - readings // DEVICES - 60
    encoded = []
    for first in range(0, readings, BATCH):
        request = pb.IngestStreamRequest()
        batch = request.batch
        for index in range(first, first + BATCH):
            reading = batch.readings.add(
                device_id=f"ESP-{index % DEVICES:04}", **{name: value(index) for name, value in SIGNALS.items()})
            reading.timestamp.seconds = start + index // DEVICES
        encoded.append(request.SerializeToString())
    return encoded


def stream(channel: grpc.Channel, messages: list[bytes], round_number: int,
           connection: psycopg.Connection) -> tuple[float, float]:
    """Sends all as one new producer; seconds from the first byte to the last result, and to the last commit."""
    call = channel.stream_stream(STREAM, request_serializer=None, response_deserializer=None)

    def requests() -> Iterator[bytes]:
        opened = pb.IngestStreamRequest(open=pb.OpenStream(producer_id=f"bench-{round_number}"))
        yield opened.SerializeToString()
        for index, message in enumerate(messages):
            # A later field of the same message is merged into it: the sequence, without encoding the batch again.
            yield message + pb.IngestStreamRequest(batch=pb.Batch(sequence=index + 1)).SerializeToString()

    began = time.perf_counter()
    stored = 0
    for answer in call(requests()):
        stored += pb.IngestStreamResponse.FromString(answer).result.stored
    durable = time.perf_counter() - began
    cursor = "SELECT last_sequence FROM producer_cursor WHERE producer_id = %s"
    while (connection.execute(cursor, [f"bench-{round_number}"]).fetchone() or (0,))[0] < len(messages):
        connection.commit()
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    connection.commit()
    assert stored == len(messages) * BATCH, f"{stored} stored"
    return durable, seconds


def chunks_of_table(connection: psycopg.Connection) -> tuple[str, list[bytes]]:
    """The rows of telemetry as binary COPY files of 10,000 rows each, and the columns in their order."""
    with connection.cursor() as cursor, cursor.copy("COPY (SELECT * FROM telemetry) TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(part) for part in copy)
    columns = [row[0] for row in connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'telemetry' ORDER BY ordinal_position")]
    header, position, start, rows, chunks = data[:19], 19, 19, 0, []
    while data[position:position + 2] != b"\xff\xff":
        (fields,) = struct.unpack_from(">h", data, position)
        position += 2
        for _ in range(fields):
            (length,) = struct.unpack_from(">i", data, position)
            position += 4 + max(length, 0)
        rows += 1
        if rows % ROWS_A_COPY == 0:
            chunks.append(header + data[start:position] + b"\xff\xff")
            start = position
    if start < position:
        chunks.append(header + data[start:position] + b"\xff\xff")
    return ", ".join(columns), chunks


def raw_copy(connection: psycopg.Connection, columns: str, chunks: list[bytes]) -> float:
    statement = f"COPY telemetry ({columns}) FROM STDIN (FORMAT binary)"
    began = time.perf_counter()
    for chunk in chunks:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(chunk)
        connection.commit()
    return time.perf_counter() - began


def empty(connection: psycopg.Connection) -> None:
    connection.execute("TRUNCATE telemetry")
    connection.commit()
    connection.autocommit = True
    connection.execute("CHECKPOINT")
    connection.autocommit = False


def main() -> None:
    readings = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    form = sys.argv[3] if len(sys.argv) > 3 else "rows"
    messages = {"rows": batches, "blocks": block_batches}[form](readings)
    with espd.running() as server, psycopg.connect(server.conninfo) as connection:
        channel = grpc.insecure_channel(server.address, [("grpc.enable_http_proxy", 0)])
        stream(channel, messages, 0, connection)
        columns, chunks = chunks_of_table(connection)
        print("| round | durable, readings/s | committed, readings/s | raw COPY, rows/s | committed / raw "
              "| espd CPU s / 1M | PostgreSQL CPU s / 1M |")
        print("|---|---|---|---|---|---|---|")
        ratios = []
        for round_number in range(1, rounds + 1):
            empty(connection)
            before = espd.cpu_seconds(server.pid), espd.cpu_seconds(server.postmaster, with_children=True)
            durable, committed = (readings / seconds
                                  for seconds in stream(channel, messages, round_number, connection))
            after = espd.cpu_seconds(server.pid), espd.cpu_seconds(server.postmaster, with_children=True)
            (count,) = connection.execute("SELECT count(*) FROM telemetry").fetchone() or (0,)
            assert count == readings, f"{count} rows"
            empty(connection)
            raw = readings / raw_copy(connection, columns, chunks)
            ratios.append(committed / raw)
            ours, theirs = ((b - a) * 1e6 / readings for a, b in zip(before, after, strict=True))
            print(f"| {round_number} | {durable:,.0f} | {committed:,.0f} | {raw:,.0f} | {committed / raw:.2f} "
                  f"| {ours:.2f} | {theirs:.2f} |")
        print(f"\nmedian ratio {statistics.median(ratios):.2f} over {rounds} rounds of {readings:,} readings")


if __name__ == "__main__":
    main()
