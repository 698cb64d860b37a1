"""Heartbeats keep a stream through a proxy that knows nothing of PING and cuts what is idle of DATA for 5 s (G23)."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Self

import grpc
import pytest

from espclient.channel import open_channel

from espd_process import Espd
from ingest_stream import IngestStream, make_batch

pytestmark = pytest.mark.timeout(180)

IDLE_SECONDS = 5.0
"""After so long without DATA the proxy cuts, as common balancers do after 60 s."""

HELD_SECONDS = 60.0 if os.environ.get("ESP_TEST_FULL") else 12.0

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class FrameWatch:
    """Finds DATA in one direction of a connection, wherever its bytes are cut."""

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self.head = b""

    def has_data(self, piece: bytes) -> bool:
        found = False
        while piece:
            if self.skip:
                count = min(self.skip, len(piece))
                self.skip -= count
                piece = piece[count:]
                continue
            taken = 9 - len(self.head)
            self.head, piece = self.head + piece[:taken], piece[taken:]
            if len(self.head) == 9:
                found = found or self.head[3] == 0
                self.skip = int.from_bytes(self.head[:3])
                self.head = b""
        return found


class IdleProxy:
    """Carries one connection at a time to a server; PING, SETTINGS and WINDOW_UPDATE are no sign of life to it."""

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.cuts = 0
        self.is_over = False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self.thread.join()
        self.listener.close()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while not self.is_over:
            if select.select([self.listener], [], [], 0.1)[0]:
                self.carry(self.listener.accept()[0])

    def carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.server_port)) as server:
            watches = {client: FrameWatch(PREFACE), server: FrameWatch(0)}
            last = time.monotonic()
            while not self.is_over:
                for side in select.select(list(watches), [], [], 0.05)[0]:
                    piece = side.recv(65_536)
                    if not piece:
                        return
                    (server if side is client else client).sendall(piece)
                    if watches[side].has_data(piece):
                        last = time.monotonic()
                if time.monotonic() - last > IDLE_SECONDS:
                    self.cuts += 1
                    return


def test_the_proxy_cuts_a_stream_whose_server_is_silent(make_espd: Callable[..., Espd], name: str):
    espd = make_espd().start()
    with IdleProxy(espd.port) as proxy, open_channel(proxy.target) as channel, IngestStream(channel, name) as stream:
        assert stream.opened().heartbeat_interval.seconds == 30
        with pytest.raises(grpc.RpcError) as ended:
            stream.next()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert proxy.cuts == 1
    espd.stop()


def test_heartbeats_keep_a_silent_stream(make_espd: Callable[..., Espd], name: str):
    espd = make_espd("--heartbeat-seconds", 2).start()
    with IdleProxy(espd.port) as proxy, open_channel(proxy.target) as channel, IngestStream(channel, name) as stream:
        assert stream.opened().heartbeat_interval.seconds == 2
        begin = time.monotonic()
        count = 0
        while time.monotonic() - begin < HELD_SECONDS:
            assert stream.next().WhichOneof("message") == "heartbeat"
            count += 1
        assert count >= HELD_SECONDS / IDLE_SECONDS
        stream.send_batches([make_batch(name, 1)])
        while (answer := stream.next()).WhichOneof("message") == "heartbeat":
            pass
        assert answer.result.stored == 3
        assert proxy.cuts == 0
    espd.stop()
