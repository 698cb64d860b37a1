"""Client of the ESP telemetry service: `ResumingStream` and `StoreAndForward` send, `espclient.query`
reads back.
"""

import os

# grpc's own notes about connections on stderr; ours say more. Read when grpc is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from espclient.errors import (
    BadCell,
    BadInput,
    BatchTooLarge,
    EspError,
    GaveUp,
    Interrupted,
    ProtocolViolation,
    Refused,
    Rewound,
    SequenceGap,
    SpoolError,
    SpoolFailed,
    SpoolFull,
    TakenOver,
)
from espclient.forward import StoreAndForward
from espclient.stream import ResumingStream
from espclient.totals import Totals

__all__ = [
    "BadCell",
    "BadInput",
    "BatchTooLarge",
    "EspError",
    "GaveUp",
    "Interrupted",
    "ProtocolViolation",
    "Refused",
    "ResumingStream",
    "Rewound",
    "SequenceGap",
    "SpoolError",
    "SpoolFailed",
    "SpoolFull",
    "StoreAndForward",
    "TakenOver",
    "Totals",
]
