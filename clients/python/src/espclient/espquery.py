"""The command `espquery`: prints stored readings as CSV that `espstream` can read again."""

from __future__ import annotations

import argparse
import csv
import os
import sys

from espclient.console import DEFAULT_TARGET, iso_time, positive
from espclient.errors import EspError
from espclient.query import CSV_HEADER, Query, csv_row, read_export, read_pages


def main() -> None:
    """Entry point."""
    try:
        sys.exit(run(parse_arguments(sys.argv[1:])))
    except BrokenPipeError:  # The reader, for example `head`, has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def run(arguments: argparse.Namespace) -> int:
    """Prints the readings and returns the exit code."""
    query = Query(
        devices=tuple(arguments.device),
        start_us=arguments.start,
        end_us=arguments.end,
        limit=arguments.limit,
        ascending=arguments.order == "asc",
    )
    read = read_export if arguments.export else read_pages
    try:
        readings = read(arguments.target, query)
        if arguments.count:
            print(sum(1 for _ in readings))
            return 0
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        writer.writerows(map(csv_row, readings))
        sys.stdout.flush()
    except EspError as error:
        print(f"espquery: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="espquery", description="Prints stored readings as CSV, oldest first."
    )
    add = parser.add_argument
    add("--target", default=DEFAULT_TARGET, metavar="HOST:PORT", help="default %(default)s")
    add("--device", action="append", default=[], metavar="ID", help="repeatable; default: all")
    add("--start", type=iso_time, metavar="TIME", help="ISO 8601; default: an hour ago")
    add("--end", type=iso_time, metavar="TIME", help="not included; default: now")
    add("--limit", type=positive, metavar="N", help="readings at most")
    add("--order", choices=["asc", "desc"], default="asc", help="by time; an export is always asc")
    add("--export", action="store_true", help="one ExportReadings stream instead of pages")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV, the default")
    form.add_argument("--count", action="store_true", help="print only how many there are")
    parsed = parser.parse_args(arguments)
    if parsed.export and parsed.order == "desc":
        parser.error("--export is always in ascending order")
    return parsed


if __name__ == "__main__":
    main()
