"""Clients that fill memory: the byte budget holds, nobody who waits is killed, all goes on, nothing is lost.

The budget is the least that can be set, 64 MiB; in full (ESP_TEST_FULL=1) the streams meet the default, 256 MiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.rpc import error_details_pb2

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd, processes_in, wait_for
from frames import FULL_DUPLEX_CALL, UNARY_CALL, Attacker, is_served, message
from ingest_stream import make_batch
from interop_server import InteropServer
from wire import Wire, details

MIB = 1 << 20
ALLOWANCE = 64 * MIB
"""Bytes beside the budget: 64 KiB for each of 1,000 connections, and what the allocator has in hand."""
QUERY = "/esp.v1.TelemetryService/QueryReadings"
EXPORT = "/esp.v1.TelemetryService/ExportReadings"
STREAMS = 1000
CHANNELS = 10


@contextlib.contextmanager
def stalled_database(espd: Espd) -> Iterator[None]:
    """PostgreSQL with all its processes stands still, and goes on at the end."""
    processes = processes_in(espd.data / "postgres" / "data")
    assert processes
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


class Pushers:
    """1,000 streams, each of its own producer, that send batches as fast as they are let."""

    def __init__(self, target: str, batches: int, readings: int) -> None:
        self.target, self.batches, self.readings = target, batches, readings
        self.sent = 0
        self.acknowledged = 0

    async def run(self, started: Callable[[], None], until_stalled: Callable[[], object]) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with contextlib.AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(grpc.aio.insecure_channel(self.target, options=options))
                        for _ in range(CHANNELS)]
            opened = asyncio.Semaphore(0)
            go = asyncio.Event()
            streams = [asyncio.create_task(self.push(channels[index % CHANNELS], index, opened, go))
                       for index in range(STREAMS)]
            for _ in range(STREAMS):
                await opened.acquire()
            started()
            go.set()
            before = -1
            while before != self.sent:
                before = self.sent
                await asyncio.sleep(2)
            await asyncio.to_thread(until_stalled)
            await asyncio.gather(*streams)

    async def push(self, channel: grpc.aio.Channel, index: int, opened: asyncio.Semaphore, go: asyncio.Event) -> None:
        call = telemetry_pb2_grpc.TelemetryServiceStub(channel).IngestStream()
        producer = f"pusher-{index}"
        await call.write(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=producer,
                                                                    ack_level=pb.ACK_LEVEL_COMMITTED)))
        assert (await call.read()).WhichOneof("message") == "opened"
        opened.release()
        await go.wait()

        async def write() -> None:
            for number in range(self.batches):
                batch = make_batch(producer, number + 1, readings=self.readings)
                await call.write(pb.IngestStreamRequest(batch=batch))
                self.sent += 1
            await call.done_writing()

        writing = asyncio.create_task(write())
        answer = await call.read()
        while answer is not grpc.aio.EOF:
            if answer.WhichOneof("message") == "result":
                assert answer.result.stored == self.readings
                self.acknowledged += 1
            answer = await call.read()
        await writing
        assert await call.code() == grpc.StatusCode.OK, await call.details()


def test_1000_streams_at_a_stalled_database_stay_within_the_budget_and_lose_nothing(
        make_espd: Callable[..., Espd], is_full: bool):
    budget, batches = (256, 40) if is_full else (64, 8)
    espd = make_espd(ESP_MEMORY_BUDGET_MIB=str(budget)).start()
    base = espd.resident_bytes
    pushers = Pushers(espd.target, batches, readings=100)
    with contextlib.ExitStack() as stall:
        def look_and_go_on() -> None:
            assert pushers.acknowledged < pushers.sent, "the database does not stand still"
            held = espd.resident_bytes
            print(f"{pushers.sent} of {STREAMS * batches} batches sent, resident {base // MIB} -> {held // MIB} MiB")
            assert held < base + budget * MIB + ALLOWANCE
            with open_channel(espd.target) as channel:
                assert channel_is_answered(channel)
            stall.close()

        asyncio.run(pushers.run(lambda: stall.enter_context(stalled_database(espd)), look_and_go_on))
    assert pushers.acknowledged == STREAMS * batches
    assert espd.database.count("telemetry", "device_id LIKE 'pusher-%'") == STREAMS * batches * 100
    assert espd.resident_bytes < base + budget * MIB + ALLOWANCE
    espd.stop()


def channel_is_answered(channel: grpc.Channel) -> bool:
    """A unary call is answered at once, or refused with advice when to come again: it does not hang."""
    request = pb.QueryReadingsRequest(device_id=["nobody"], limit=1)
    try:
        telemetry_pb2_grpc.TelemetryServiceStub(channel).QueryReadings(request, timeout=3)
    except grpc.RpcError as error:
        # The database stands still: a query waits for it until its deadline.
        return error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
    return True


def test_unary_calls_at_a_stalled_database_are_durable_and_hold_no_memory(make_espd: Callable[..., Espd]):
    """Beyond what may be held the journal alone has them. A full journal: Integration/test_durability.py."""
    espd = make_espd(ESP_MEMORY_BUDGET_MIB="64").start()
    base = espd.resident_bytes
    # A block of 16,000 readings is 1.4 MiB once it is decoded; 32 MiB may be held.
    request = pb.IngestRequest()
    block = request.blocks.add(device_id="unary-pusher", start_time_unix_us=(int(time.time()) - 86_400) * 1_000_000)
    block.time_delta_us.extend([0] + [1000] * 15_999)
    block.temperature.extend([50.0] * 16_000)
    with open_channel(espd.target) as channel:
        ingest = telemetry_pb2_grpc.TelemetryServiceStub(channel).Ingest
        with stalled_database(espd):
            for call in [ingest.future(request, timeout=60) for _ in range(50)]:
                assert call.result().result.stored == 16_000
                assert call.result().result.ack_level == pb.ACK_LEVEL_DURABLE
            assert espd.resident_bytes < base + 64 * MIB + ALLOWANCE
        last = pb.IngestRequest(readings=make_batch("unary-last", 1).readings, ack_level=pb.ACK_LEVEL_COMMITTED)
        assert ingest(last, timeout=120).result.stored == 3
    wait_for(lambda: espd.database.count("telemetry", "device_id = 'unary-pusher'") == 50 * 16_000, "all are stored")
    espd.stop()


def test_a_reader_that_does_not_read_holds_little_and_others_are_served(make_espd: Callable[..., Espd]):
    espd = make_espd(ESP_MEMORY_BUDGET_MIB="64").start()
    with open_channel(espd.target) as channel:
        ingest = telemetry_pb2_grpc.TelemetryServiceStub(channel).Ingest
        for sequence in range(1, 11):
            ingest(pb.IngestRequest(readings=make_batch("slow-reader", sequence, readings=1000).readings))
        base = espd.resident_bytes
        query = pb.QueryReadingsRequest(limit=10_000)
        query.start_time.FromSeconds(int(time.time()) - 3 * 86_400)
        export = pb.ExportReadingsRequest(start_time=query.start_time)
        with Attacker(espd.port, windows=False) as slow:
            for _ in range(400):
                slow.data(slow.open(QUERY), message(query.SerializeToString()), end=True)
                slow.data(slow.open(EXPORT), message(export.SerializeToString()), end=True)
            most = 0
            until = time.monotonic() + 8
            while time.monotonic() < until:
                most = max(most, espd.resident_bytes)
                ingest(pb.IngestRequest(readings=make_batch("other", 1).readings), timeout=20)
                time.sleep(0.05)
            print(f"resident {base // MIB} -> {most // MIB} MiB")
            assert most < base + 64 * MIB
    espd.stop()


@pytest.mark.parametrize("size", [1000, 100_000])
def test_1000_senders_at_a_handler_that_does_not_consume(interop: InteropServer, size: int):
    """The handler of FullDuplexCall waits until its first answer has been read, which it never is."""
    before = interop.memory("VmRSS")
    # response_parameters { size: 70,000 }, more than a method may be ahead: what is sent behind it is never taken.
    first = message(bytes.fromhex("120408f0a204"))
    body = bytes([0x1A]) + varint(size + 1 + len(varint(size))) + bytes([0x12]) + varint(size) + bytes(size)
    push = message(body) * max(1, 16_000 // size)
    connections = [Attacker(interop.port, windows=False) for _ in range(CHANNELS)]
    streams = [(attacker, attacker.open(FULL_DUPLEX_CALL)) for attacker in connections for _ in range(100)]
    for attacker, stream in streams:
        attacker.data(stream, first)
    most = 0
    until = time.monotonic() + 6
    windows = {attacker: 65_535 - 100 * len(first) for attacker in connections}
    while time.monotonic() < until:
        for attacker, stream in streams:
            take_windows(attacker, windows)
            if windows[attacker] >= len(push) and time.monotonic() < until:
                windows[attacker] -= len(push)
                attacker.data(stream, push)
        most = max(most, interop.memory("VmRSS"))
        is_served(interop.port)
    print(f"resident {before >> 20} -> {most >> 20} MiB")
    assert most < before + 64 * MIB + ALLOWANCE
    for attacker in connections:
        attacker.socket.close()
    is_served(interop.port)


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def take_windows(attacker: Attacker, windows: dict[Attacker, int]) -> None:
    """Adds what the server has opened of the connection's window; whatever else came is dropped."""
    with contextlib.suppress(AssertionError):
        while (found := attacker.next(0.0005)) is not None:
            if found[0] == 8 and found[2] == 0:
                windows[attacker] += struct.unpack(">I", found[3])[0]


def test_half_messages_of_a_thousand_streams_do_not_stop_others(interop: InteropServer):
    """Each claims 4 MiB and sends 10 KB: more than may be on its way at once. Streams wait, calls go on."""
    before = interop.memory("VmRSS")
    with contextlib.ExitStack() as stack:
        for _ in range(CHANNELS):
            attacker = stack.enter_context(Attacker(interop.port))
            for _ in range(5):
                attacker.data(attacker.open(FULL_DUPLEX_CALL), message(bytes(10_000), claimed=4 * MIB))
        for _ in range(20):
            is_served(interop.port)
        assert interop.memory("VmRSS") < before + 64 * MIB
    is_served(interop.port, FULL_DUPLEX_CALL)


def test_unary_bodies_that_never_end_are_bounded_and_refused_with_advice(interop: InteropServer):
    before = interop.memory("VmRSS")
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(interop.port)) for _ in range(8)]
        answers = []
        for _ in range(4):
            for wire in wires:
                stream = wire.open(UNARY_CALL)
                wire.send(stream, message(bytes(3 * MIB), claimed=4 * MIB))
                answers.append(wire.answers[stream])
        print(f"resident {before >> 20} -> {interop.memory('VmHWM') >> 20} MiB")
        assert interop.memory("VmHWM") < before + 64 * MIB + ALLOWANCE
        refused = [answer for answer in answers if answer.ended]
        assert refused
        for answer in refused:
            assert (answer.code, answer.fields["grpc-retry-pushback-ms"]) == (8, "500")
            assert "the limit is 33554432" in answer.message
        is_served(interop.port)
    is_served(interop.port)


def test_a_connection_too_many_is_told_so_in_the_words_of_grpc(make_espd: Callable[..., Espd]):
    espd = make_espd(ESP_MAX_CONNECTIONS="1").start()
    request = pb.QueryReadingsRequest(device_id=["nobody"])
    with open_channel(espd.target) as first:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(first)
        stub.QueryReadings(request, timeout=20)
        with Wire(espd.port) as wire:
            answer = wire.call(QUERY, message(request.SerializeToString()))
            assert answer.code == 8
            assert "all the 1 connections" in answer.message
            assert answer.fields["grpc-retry-pushback-ms"] == "1000"
            assert details(answer.status, error_details_pb2.RetryInfo)[0].retry_delay.seconds == 1
            assert details(answer.status, error_details_pb2.QuotaFailure)[0].violations[0].subject == "connections"
            while not wire.is_closed:
                wire.receive()
            assert wire.goaway == 11
        stub.QueryReadings(request, timeout=20)
    espd.stop()
