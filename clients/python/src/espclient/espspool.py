"""The command `espspool`: looks into a spool, also while a process uses it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from espclient.errors import EspError, SpoolError
from espclient.segment import SegmentReader
from espclient.spoolfolder import list_segments, read_hint, read_identity


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="espspool",
        description="Lists what a spool holds, and what of it is damaged. It changes nothing.",
    )
    commands = parser.add_subparsers(required=True, metavar="inspect")
    inspecting = commands.add_parser("inspect", help="list a spool's segments")
    inspecting.add_argument("folder", type=Path)
    inspecting.add_argument("--json", action="store_true", help="one JSON object")
    sys.exit(run(parser.parse_args()))


def run(arguments: argparse.Namespace) -> int:
    """Prints it; exit code 0, 4 when something is damaged, 2 when it is no spool."""
    try:
        found = inspect(arguments.folder)
    except (EspError, OSError) as error:
        print(f"espspool: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"producer {found['producer']}, server's sequences begin behind {found['base']},"
            f" acknowledged up to {found['acknowledged']}"
        )
        for each in found["segments"]:
            print(
                "{file}: {batches} batches ({first} to {last}), {readings} readings,"
                " {bytes} bytes, {damaged_bytes} damaged or torn".format(**each)
            )
    return 4 if any(each["damaged_bytes"] for each in found["segments"]) else 0


def inspect(folder: Path) -> dict[str, object]:
    """What the folder holds. Raises `SpoolError`."""
    identity = read_identity(folder)
    if identity is None:
        raise SpoolError(f"{folder} is not a spool: it has no spool.json")
    acknowledged = 0
    if (folder / "acknowledged").exists():
        file = os.open(folder / "acknowledged", os.O_RDONLY)
        try:
            acknowledged = read_hint(file)
        finally:
            os.close(file)
    segments = []
    for segment in list_segments(folder):
        reader = SegmentReader(segment.path)
        records = []
        try:
            while (record := reader.next(segment.size)) is not None:
                records.append((record.number, record.readings))
            torn = segment.size - reader.offset
        finally:
            reader.close()
        segments.append(
            {
                "file": segment.path.name,
                "bytes": segment.size,
                "first": records[0][0] if records else None,
                "last": records[-1][0] if records else None,
                "batches": len(records),
                "readings": sum(readings for _, readings in records),
                "damaged_bytes": reader.damaged_bytes + torn,
            }
        )
    return {
        "producer": identity["producer"],
        "base": identity.get("base"),
        "acknowledged": acknowledged,
        "segments": segments,
    }


if __name__ == "__main__":
    main()
