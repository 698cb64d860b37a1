"""ORCA (gRFC A51), the interop case orca_per_rpc: the report that a client asks for stands in the trailers of its call.

The official clients of this folder are older than the case, so the messages here are Google's own, made of the protos;
grpcio keeps the field for its balancers, so the call is made by hand.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from interop_server import ROOT, InteropServer

sys.path.append(str(Path(__file__).resolve().parents[1] / "Integration"))

from wire import Wire, frame  # noqa: E402

pytestmark = pytest.mark.timeout(120)

FIELD = "endpoint-load-metrics-bin"
REPORT = {"cpu_utilization": 0.8210, "memory_utilization": 0.5847, "request_cost": {"cost": 3456.32},
          "utilization": {"util": 0.30499}}
"""The figures of the public description."""


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> dict[str, type]:
    protos = ROOT / "interop" / "proto"
    out = tmp_path_factory.mktemp("descriptors") / "set.pb"
    files = sorted(str(path.relative_to(protos)) for path in Path(protos).rglob("*.proto"))
    subprocess.run(["protoc", f"-I{protos}", f"--descriptor_set_out={out}", *files], check=True)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        pool.Add(file)
    names = ("grpc.testing.SimpleRequest", "grpc.testing.SimpleResponse", "xds.data.orca.v3.OrcaLoadReport")
    return {name.rpartition(".")[2]: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
            for name in names}


def trailers(types: dict[str, type], request: object) -> dict[str, str]:
    with InteropServer() as server, Wire(server.port) as wire:
        answer = wire.call("/grpc.testing.TestService/UnaryCall", frame(request.SerializeToString()))
        assert answer.code == 0
        assert FIELD not in answer.headers
        (response,) = answer.messages()
        assert len(types["SimpleResponse"].FromString(response).payload.body) == request.response_size
        return answer.trailers


def test_the_report_that_was_asked_for_is_in_the_trailers(types: dict[str, type]):
    got = trailers(types, types["SimpleRequest"](orca_per_rpc_report=REPORT, response_size=3))
    report = types["OrcaLoadReport"].FromString(base64.b64decode(got[FIELD] + "=" * (-len(got[FIELD]) % 4)))
    assert (report.cpu_utilization, report.mem_utilization) == (0.8210, 0.5847)
    assert dict(report.request_cost) == {"cost": 3456.32}
    assert dict(report.utilization) == {"util": 0.30499}


def test_an_empty_report_is_one_without_figures(types: dict[str, type]):
    got = trailers(types, types["SimpleRequest"](orca_per_rpc_report={}))
    assert got[FIELD] == ""


def test_nobody_who_did_not_ask_gets_one(types: dict[str, type]):
    assert FIELD not in trailers(types, types["SimpleRequest"](response_size=1))
