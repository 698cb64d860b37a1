"""Reads stored readings back, a page at a time or as one export stream."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import grpc

from espclient.channel import open_channel
from espclient.errors import EspError, Refused
from espclient.protocol import telemetry_pb2, telemetry_pb2_grpc
from espclient.signals import SIGNALS
from espclient.times import format_iso

PAGE_READINGS = 10_000
"""Readings a page, the most that a server gives."""

CSV_HEADER = (
    "device_id",
    "timestamp",
    *SIGNALS,
    "source_system",
    "quality",
    "data_quality_score",
    "is_anomaly",
    "ingestion_timestamp",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which readings. Times are microseconds, half-open; without them the server takes the last
    hour.
    """

    devices: tuple[str, ...] = ()
    start_us: int | None = None
    end_us: int | None = None
    limit: int | None = None
    ascending: bool = True


def read_pages(target: str, query: Query) -> Iterator[telemetry_pb2.StoredReading]:
    """The readings by `QueryReadings`, page after page."""
    request = telemetry_pb2.QueryReadingsRequest(
        device_id=query.devices,
        order=telemetry_pb2.ORDER_ASC if query.ascending else telemetry_pb2.ORDER_DESC,
    )
    _set_range(request, query)
    left = query.limit
    with open_channel(target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        while left is None or left > 0:
            request.limit = PAGE_READINGS if left is None else min(left, PAGE_READINGS)
            try:
                page = stub.QueryReadings(request)
            except grpc.RpcError as error:
                raise failure(error) from None
            yield from page.readings
            if left is not None:
                left -= len(page.readings)
            request.page_token = page.next_page_token
            if not request.page_token:
                return


def read_export(target: str, query: Query) -> Iterator[telemetry_pb2.StoredReading]:
    """The readings by `ExportReadings`, in time order, without a page."""
    request = telemetry_pb2.ExportReadingsRequest(device_id=query.devices)
    _set_range(request, query)
    with open_channel(target) as channel:
        responses = telemetry_pb2_grpc.TelemetryServiceStub(channel).ExportReadings(request)
        try:
            for response in islice(responses, query.limit):
                yield response.reading
        except grpc.RpcError as error:
            raise failure(error) from None


def csv_row(stored: telemetry_pb2.StoredReading) -> list[str]:
    """One reading in the order of `CSV_HEADER`; a missing value is empty."""
    reading = stored.reading
    row = [reading.device_id, _time(reading.timestamp)]
    for signal in SIGNALS:
        row.append(format_float32(getattr(reading, signal)) if reading.HasField(signal) else "")
    row.append(reading.source_system)
    row.append(str(reading.quality) if reading.HasField("quality") else "")
    row.append(format_float32(stored.data_quality_score))
    row.append("true" if stored.is_anomaly else "false")
    known = stored.HasField("ingestion_timestamp")
    row.append(_time(stored.ingestion_timestamp) if known else "")
    return row


def format_float32(value: float) -> str:
    """The shortest decimal that is this float32 again."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    packed = struct.pack("<f", value)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == packed:
            return text
    return f"{value:.9g}"


def _set_range(
    request: telemetry_pb2.QueryReadingsRequest | telemetry_pb2.ExportReadingsRequest, query: Query
) -> None:
    for name, time_us in (("start_time", query.start_us), ("end_time", query.end_us)):
        if time_us is not None:
            getattr(request, name).FromMicroseconds(time_us)


def _time(timestamp: object) -> str:
    return format_iso(timestamp.seconds * 1_000_000 + timestamp.nanos // 1000)


def failure(error: grpc.RpcError) -> EspError:
    """What the end of a call means for whoever asked."""
    code, details = error.code(), error.details() or ""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        return EspError(f"{code.name}: {details}")
    return Refused(code.name, details)
