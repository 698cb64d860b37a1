"""How this package opens its connections."""

from __future__ import annotations

import grpc

MAX_MESSAGE_BYTES = 64 << 20
"""Largest message that we take; the server limits what it takes itself (4 MiB by default)."""

OPTIONS: tuple[tuple[str, int], ...] = (
    # A SCADA network's proxy settings are for its browsers.
    ("grpc.enable_http_proxy", 0),
    # Resuming from the server's cursor is our retry; a transparent one would only keep copies.
    ("grpc.enable_retries", 0),
    # Each new channel makes a new connection, with its own wait and its own failures.
    ("grpc.use_local_subchannel_pool", 1),
    # Finds a dead peer within 80 s when no heartbeat does; rarer than servers are known to forbid.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)


def open_channel(target: str) -> grpc.Channel:
    """A plaintext channel to `target`, `host:port` or `unix:path`. The caller closes it."""
    return grpc.insecure_channel(target, options=OPTIONS)
