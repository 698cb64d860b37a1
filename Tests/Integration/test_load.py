"""Many requests at once by h2load, a client that shares no code with ours: each is answered and stored once.

4,000 requests of 20 readings; full (ESP_TEST_FULL=1): 100,000.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from espd_process import Espd, make_folder
from ingest_stream import make_batch
from wire import CHECK, INGEST, frame

pytestmark = pytest.mark.skipif(
    shutil.which("h2load") is None, reason="h2load is missing: apt-get install nghttp2-client")


def h2load(server: Espd, path: str, message: bytes, requests: int, clients: int = 16, streams: int = 10) -> None:
    """Runs it; every request must have succeeded with status 200."""
    folder = make_folder()
    try:
        (folder / "body").write_bytes(frame(message))
        done = subprocess.run(
            ["h2load", "-n", str(requests), "-c", str(clients), "-m", str(streams), "-d", folder / "body",
             "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{server.target}{path}"],
            capture_output=True, text=True, timeout=170, check=False)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    assert f"{requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout
    assert re.search(rf"status codes: {requests} 2xx", done.stdout), done.stdout


def test_every_unary_batch_under_load_is_stored(shared: Espd, name: str, is_full: bool):
    requests = 100_000 if is_full else 4000
    batch = make_batch(name, 1, readings=20)
    request = pb.IngestRequest(readings=batch.readings, ack_level=pb.ACK_LEVEL_COMMITTED)
    h2load(shared, INGEST, request.SerializeToString(), requests)
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 20 * requests


def test_one_sequence_under_load_is_stored_once(shared: Espd, name: str, is_full: bool):
    requests = 100_000 if is_full else 4000
    batch = make_batch(name, 1, readings=20)
    request = pb.IngestRequest(producer_id=name, sequence=1, readings=batch.readings,
                               ack_level=pb.ACK_LEVEL_COMMITTED)
    h2load(shared, INGEST, request.SerializeToString(), requests)
    assert shared.database.count("telemetry", f"device_id = '{name}'") == 20


def test_a_thousand_connections_are_served(shared: Espd):
    files = shared.file_count
    h2load(shared, CHECK, b"", 5000, clients=1000, streams=5)
    assert shared.file_count < files + 1000


def test_900_calls_at_once_on_one_connection_all_succeed(shared: Espd, name: str):
    """Fewer than the streams that are announced: grpcio must not see one refused."""
    with open_channel(shared.target) as channel:
        ingest = telemetry_pb2_grpc.TelemetryServiceStub(channel).Ingest
        for number in range(3):
            calls = [ingest.future(pb.IngestRequest(readings=make_batch(name, number + 1).readings), timeout=60)
                     for _ in range(900)]
            assert all(call.result().result.stored == 3 for call in calls)
