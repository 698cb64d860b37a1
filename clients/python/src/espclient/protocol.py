"""The generated messages and stubs of `proto/esp/v1`, by one name.

They are made by `clients/python/generate.sh` and live in `espclient._generated`, so that the global
names `esp` and
`google.rpc` stay free for whoever else generates code from these files.
"""

from __future__ import annotations

try:
    from espclient._generated.esp.v1 import (
        admin_pb2,
        admin_pb2_grpc,
        dead_letter_pb2,
        dead_letter_pb2_grpc,
        telemetry_pb2,
        telemetry_pb2_grpc,
    )
except ModuleNotFoundError as missing:
    raise ImportError(
        "espclient has no generated code yet: run clients/python/generate.sh"
    ) from missing

__all__ = [
    "ACK_LEVELS",
    "admin_pb2",
    "admin_pb2_grpc",
    "dead_letter_pb2",
    "dead_letter_pb2_grpc",
    "telemetry_pb2",
    "telemetry_pb2_grpc",
]

ACK_LEVELS: dict[str, int] = {
    "accepted": telemetry_pb2.ACK_LEVEL_ACCEPTED,
    "durable": telemetry_pb2.ACK_LEVEL_DURABLE,
    "committed": telemetry_pb2.ACK_LEVEL_COMMITTED,
}
"""Acknowledgement levels by the names that the command line uses."""
