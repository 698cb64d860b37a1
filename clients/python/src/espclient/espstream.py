"""The command `espstream`: sends a CSV file of readings, each stored exactly once."""

from __future__ import annotations

import argparse
import json
import sys
import time

from espclient.console import (
    DEFAULT_TARGET,
    Progress,
    Stop,
    describe_totals,
    iso_time,
    pairs,
    positive,
    positive_float,
)
from espclient.csvfile import CsvFile
from espclient.errors import BadInput, EspError, Interrupted
from espclient.plan import FIELDS, CsvOptions, check_units
from espclient.protocol import ACK_LEVELS
from espclient.signals import SIGNALS
from espclient.stream import ResumingStream
from espclient.totals import Totals
from espclient.units import STANDARD_ATMOSPHERE_PSI, known_units
from espclient.upload import Upload, VerdictLog

GRACE = 5.0
"""Seconds for outstanding answers when a run ends early."""

NOT_ALL_KEPT = 4
"""Exit code when readings were quarantined or rejected."""

EPILOG = """\
A run that was broken off, here or there, goes on where the server's cursor stands when it is
started again with the same file and options. The file must not have changed: batch k must hold
the same rows again.

Times are ISO 8601 (without an offset: UTC) or, with --start, seconds after it. An empty cell or
NaN is a missing signal.

exit codes: 0 all stored, now or before
            1 the server could not be reached or misbehaved
            2 an option, the file, or the server's refusal
            3 another stream of the same producer took over
            4 some readings were quarantined or rejected
"""


def main() -> None:
    """Entry point."""
    sys.exit(run(parse_arguments(sys.argv[1:])))


def run(arguments: argparse.Namespace) -> int:
    """Sends the file and returns the exit code."""
    try:
        options = csv_options(arguments)
        file = CsvFile(arguments.file, options)
        producer = arguments.producer or file.fingerprint()
    except BadInput as error:
        print(f"espstream: {error}", file=sys.stderr)
        return error.exit_code
    if file.plan.ignored and not arguments.quiet:
        print(f"ignored columns: {', '.join(file.plan.ignored)}", file=sys.stderr)
    if not arguments.producer and not arguments.quiet:
        print(f"producer {producer}", file=sys.stderr)
    return send(file, producer, arguments)


def send(file: CsvFile, producer: str, arguments: argparse.Namespace) -> int:
    """Runs the upload and prints what became of it."""
    stop = Stop()
    began = time.monotonic()
    progress = Progress(
        lambda: describe_progress(stream.totals, time.monotonic() - began), quiet=arguments.quiet
    )
    verdicts = VerdictLog(progress.note)

    def on_result(result: object, lines: list[int]) -> None:
        verdicts.add(result, lines)
        progress.update()

    stream = ResumingStream(
        arguments.target,
        producer,
        ack=arguments.ack,
        historical=arguments.historical,
        window=arguments.window,
        retry_for=arguments.retry_for,
        on_result=on_result,
        on_event=progress.note,
        stop=stop,
    )
    upload = Upload(stream, file, progress.note, stop.sleep_until, arguments.rate)
    error: EspError | None = None
    try:
        upload.run()
    except EspError as failure:
        error = failure
    finally:
        stream.leave(GRACE)
        progress.clear()
    report(upload, producer, time.monotonic() - began, error, arguments)
    if isinstance(error, Interrupted):
        return stop.exit_code
    if error is not None:
        return error.exit_code
    return 0 if stream.totals.all_kept else NOT_ALL_KEPT


def describe_progress(totals: Totals, seconds: float) -> str:
    """Where a run stands, in less than a terminal's line."""
    answered = totals.sent - totals.unconfirmed
    rate = answered / seconds if seconds > 0 else 0.0
    return f"{answered} readings answered, {rate:.0f}/s, {totals.reconnects} reconnects"


def report(
    upload: Upload,
    producer: str,
    seconds: float,
    error: EspError | None,
    arguments: argparse.Namespace,
) -> None:
    """Totals on stdout, the reason of an early end on stderr."""
    totals = upload.stream.totals
    if error is not None:
        print(f"espstream: {error}", file=sys.stderr)
    if arguments.json:
        summary: dict[str, object] = {
            "producer": producer,
            **totals.as_dict(),
            "skipped_batches": upload.skipped_batches,
            "skipped_readings": upload.skipped_readings,
            "bad_rows": upload.bad_rows,
            "seconds": round(seconds, 3),
            "readings_per_second": round(totals.sent / seconds, 1) if seconds > 0 else 0.0,
            "error": None if error is None else str(error),
        }
        print(json.dumps(summary))
    elif not arguments.quiet:
        if upload.skipped_readings:
            print(f"{upload.skipped_readings} readings were stored before this run")
        if upload.bad_rows:
            print(f"{upload.bad_rows} bad rows left out")
        print(describe_totals(totals, seconds))


def csv_options(arguments: argparse.Namespace) -> CsvOptions:
    """The options that decide the batches; raises `BadInput`."""
    columns = pairs(arguments.map, "--map", last=True)
    for name, field in (
        (arguments.device_column, "device_id"),
        (arguments.time_column, "timestamp"),
    ):
        if name is not None and columns.setdefault(name, field) != field:
            raise BadInput(f"column {name!r} is mapped to both {columns[name]} and {field}")
    if arguments.device is not None and arguments.device_column is not None:
        raise BadInput("give --device or --device-column, not both")
    units = pairs(arguments.unit, "--unit")
    check_units(units)
    return CsvOptions(
        batch_readings=arguments.batch,
        blocks=arguments.form == "blocks",
        device=arguments.device,
        start_us=arguments.start,
        columns=columns,
        units=units,
        source_system=arguments.source_system,
        skip_bad=arguments.skip_bad,
        limit=arguments.limit,
        site_atmosphere_psi=arguments.site_atmosphere,
        assume_sinusoid=arguments.assume_sinusoid,
        velocity_at_running_speed=arguments.velocity_at_running_speed,
    )


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="espstream",
        description="Sends a CSV file of readings over gRPC; each reading is stored exactly once.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="CSV file, UTF-8, with a header line")
    _add_stream_options(parser)
    _add_csv_options(parser)
    return parser.parse_args(arguments)


def _add_stream_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("stream").add_argument
    add("--target", default=DEFAULT_TARGET, metavar="HOST:PORT", help="default %(default)s")
    add("--producer", metavar="ID", help="names this file for ever; default: made of its content")
    add("--ack", choices=list(ACK_LEVELS), default="durable", help="default %(default)s")
    add(
        "--historical", action="store_true", help="backfill: moves no latest value, raises no alarm"
    )
    add("--window", type=positive, default=16, metavar="N", help="batches in flight (%(default)s)")
    add("--rate", type=positive_float, metavar="R", help="readings a second at most")
    add(
        "--retry-for",
        type=positive_float,
        metavar="SECONDS",
        help="give up after so long without progress; default: never",
    )
    add("--quiet", action="store_true", help="errors only")
    add("--json", action="store_true", help="totals as one JSON object")


def _add_csv_options(parser: argparse.ArgumentParser) -> None:
    fields = ", ".join(FIELDS)
    units = "; ".join(f"{signal}: {', '.join(known_units(signal))}" for signal in SIGNALS)
    add = parser.add_argument_group("file").add_argument
    add("--batch", type=positive, default=1000, metavar="N", help="rows a batch (%(default)s)")
    add("--form", choices=["rows", "blocks"], default="rows", help="blocks are smaller and faster")
    add("--device", metavar="ID", help="device of every row")
    add("--device-column", metavar="NAME", help="default: device_id")
    add("--time-column", metavar="NAME", help="default: timestamp")
    add("--start", type=iso_time, metavar="TIME", help="the time column is seconds after TIME")
    add("--map", action="append", default=[], metavar="COLUMN=FIELD", help=f"fields: {fields}")
    add("--unit", action="append", default=[], metavar="FIELD=UNIT", help=units.replace("%", "%%"))
    add("--source-system", default="", metavar="NAME", help="default: the server's, scada")
    add("--limit", type=positive, metavar="N", help="send the first N rows only")
    add(
        "--skip-bad", action="store_true", help="leave out rows that cannot be read, and count them"
    )
    add(
        "--site-atmosphere",
        type=positive_float,
        default=STANDARD_ATMOSPHERE_PSI,
        metavar="PSI",
        help="taken off pressures in psia (%(default)s)",
    )
    add("--assume-sinusoid", action="store_true", help="allows vibration in 'g peak'")
    add(
        "--velocity-at-running-speed",
        action="store_true",
        help="allows vibration in 'mm/s RMS' and 'in/s RMS', at rpm/60 or frequency of the row",
    )


if __name__ == "__main__":
    main()
