"""A gateway that may be killed: streams the batches of a feed up to a number, at one level, and keeps a record of the
acknowledgements outside of itself.

Usage: crash_sender.py TARGET PRODUCER LEVEL HISTORICAL READINGS BATCHES START_US ACKS. ACKS is a file, a line for each
acknowledgement: sequence and level that the server stated. Exit code 3: the server has forgotten a batch that it had
acknowledged as durable or committed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from espclient import ResumingStream
from espclient.errors import Rewound
from espclient.protocol import telemetry_pb2 as pb

from readings import Feed


def durable(acks: Path) -> int:
    """The last sequence acknowledged at DURABLE or above; a line that the kill has cut does not count."""
    last = 0
    for line in acks.read_text().splitlines(keepends=True) if acks.exists() else ():
        if line.endswith("\n"):
            sequence, level = map(int, line.split())
            if level >= pb.ACK_LEVEL_DURABLE:
                last = max(last, sequence)
    return last


def main() -> int:
    target, producer, level, historical, readings, batches, start, path = sys.argv[1:]
    acks = Path(path)
    feed = Feed(producer, readings=int(readings), start_us=int(start))
    known = durable(acks)
    with acks.open("ab", buffering=0) as file:
        def acknowledged(result: pb.BatchResult, _: object) -> None:
            os.write(file.fileno(), f"{result.sequence} {result.ack_level}\n".encode())

        stream = ResumingStream(target, producer, ack=level, historical=historical == "1", on_result=acknowledged)
        while True:
            try:
                last = stream.open()
                if last < known:
                    print(f"the server has {last}, but had acknowledged {known} as durable", file=sys.stderr)
                    return 3
                for number in range(last + 1, int(batches) + 1):
                    stream.send(feed.batch(number))
                stream.close()
                return 0
            except Rewound:
                # ACCEPTED may be forgotten; what was durable may not.
                known = durable(acks)


if __name__ == "__main__":
    sys.exit(main())
