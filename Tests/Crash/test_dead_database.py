"""Many streams at a server whose database is dead: memory stays within its budget, all resume, nothing is lost.

50 streams, 8 s; full: 1,000 streams, 60 s. Half way espd is killed too: what it had acknowledged is in its journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import grpc

from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from cluster import Cluster
from espd_process import Espd, wait_for
from ingest_stream import make_batch

MIB = 1 << 20
BUDGET = 96
"""MiB for 64 MiB of the least budget and the decoded batches of two journals."""
ALLOWANCE = 64
"""MiB beside the budget: connections, and what the allocator has in hand (Tests/Attacks)."""
CHANNELS = 8
READINGS = 500


class Streams:
    """Streams of as many producers; each sends its batches, takes every answer, and comes back after a break."""

    def __init__(self, espd: Espd, name: str, count: int, batches: int) -> None:
        self.espd, self.name, self.count, self.batches = espd, name, count, batches
        self.acked = [0] * count
        self.opened = 0
        self.breaks = 0

    async def run(self, meanwhile: Callable[[], object]) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500),
                   ("grpc.initial_reconnect_backoff_ms", 100)]
        async with contextlib.AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(grpc.aio.insecure_channel(self.espd.target, options=options))
                        for _ in range(CHANNELS)]
            self.go = asyncio.Event()
            streams = [asyncio.create_task(self.keep_sending(channels[index % CHANNELS], index))
                       for index in range(self.count)]
            while self.opened < self.count:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(meanwhile)
            await asyncio.gather(*streams)

    async def keep_sending(self, channel: grpc.aio.Channel, index: int) -> None:
        while self.acked[index] < self.batches:
            try:
                await self.send(channel, index)
            except grpc.aio.AioRpcError as error:
                # What grpc.aio makes of a write to a call whose connection has just broken.
                is_own = error.details() == "Internal error from Core"
                assert is_own or error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
                self.breaks += 1
                await asyncio.sleep(0.2)

    async def send(self, channel: grpc.aio.Channel, index: int) -> None:
        producer = f"{self.name}-{index}"
        level = (pb.ACK_LEVEL_DURABLE, pb.ACK_LEVEL_COMMITTED)[index % 2]
        call = telemetry_pb2_grpc.TelemetryServiceStub(channel).IngestStream(wait_for_ready=True)
        await call.write(pb.IngestStreamRequest(open=pb.OpenStream(producer_id=producer, ack_level=level)))
        opened = await call.read()
        if opened is grpc.aio.EOF:
            return await raise_for(call)
        last = opened.opened.last_sequence
        assert last >= self.acked[index], f"{producer}: {self.acked[index]} was acknowledged, the cursor is {last}"
        self.acked[index] = last
        self.opened += 1
        await self.go.wait()

        async def write() -> None:
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                for sequence in range(last + 1, self.batches + 1):
                    batch = make_batch(producer, sequence, READINGS)
                    await call.write(pb.IngestStreamRequest(batch=batch))
                await call.done_writing()

        writing = asyncio.create_task(write())
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                if answer.WhichOneof("message") == "result":
                    assert answer.result.stored == READINGS and answer.result.ack_level >= level
                    assert answer.result.sequence == self.acked[index] + 1
                    self.acked[index] += 1
            await raise_for(call)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


async def raise_for(call: grpc.aio.StreamStreamCall) -> None:
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), await call.details())


def test_streams_at_a_dead_database_stay_within_the_budget_and_all_resume(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str, is_full: bool):
    count, batches, seconds = (1000, 20, 60) if is_full else (50, 10, 8)
    espd = make_espd(ESP_DATABASE_URL=cluster.url, ESP_MEMORY_BUDGET_MIB=str(BUDGET), ESP_JOURNAL_SEGMENT_MIB="8",
                     ESP_JOURNAL_MAX_MIB="64").start()
    base = espd.resident_bytes
    streams = Streams(espd, name, count, batches)
    most = [0]

    def watch(until: float) -> None:
        while time.monotonic() < until:
            most[0] = max(most[0], espd.resident_bytes)
            time.sleep(0.05)

    def die_and_come_back() -> None:
        began = time.monotonic()
        cluster.stop("immediate")
        loop.call_soon_threadsafe(streams.go.set)
        watch(began + seconds / 2)
        espd.kill()
        # espd does not start without its database.
        cluster.start()
        espd.start()
        cluster.stop("immediate")
        watch(began + seconds)
        cluster.start()

    async def run() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        await streams.run(die_and_come_back)

    loop: asyncio.AbstractEventLoop
    asyncio.run(run())
    held = most[0]
    print(f"{count} streams, {streams.breaks} breaks, resident {base // MIB} -> {held // MIB} MiB")
    assert held < base + (BUDGET + ALLOWANCE) * MIB
    # Those at DURABLE may be through by then: a dead database does not hold their answers up.
    assert streams.breaks >= count // 2, "those that wait for a commit were broken by the kill"
    wanted = count * batches * READINGS
    wait_for(lambda: cluster.database.count("telemetry", f"device_id LIKE '{name}-%'") >= wanted, "all rows", 300)
    found = cluster.database.rows(f"SELECT count(*) AS rows, count(DISTINCT (device_id, timestamp)) AS readings "
                                  f"FROM telemetry WHERE device_id LIKE '{name}-%'")
    assert found == [{"rows": wanted, "readings": wanted}]
    espd.stop()
