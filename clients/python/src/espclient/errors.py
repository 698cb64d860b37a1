"""What can go wrong, and the exit code that each command gives it."""

from __future__ import annotations


class EspError(Exception):
    """Base of all errors of this package; the message is written for the user."""

    exit_code = 1


class BadInput(EspError):
    """An option or the file is not usable as it is."""

    exit_code = 2


class BadCell(BadInput):
    """A line of the CSV file that cannot be read. `line` counts from 1 and includes the header."""

    def __init__(self, line: int, column: str, problem: str) -> None:
        where = f"line {line}, column {column}" if column else f"line {line}"
        super().__init__(f"{where}: {problem}")
        self.line = line
        self.column = column


class BatchTooLarge(BadInput):
    """A batch exceeds what the server announced when the stream was opened."""


class SpoolError(BadInput):
    """The folder can't be used as a spool of this producer: the message says why."""


class SpoolFull(EspError):
    """The spool's limit or its disk is reached. Nothing was kept of the batch; try again later."""


class SpoolFailed(EspError):
    """The disk failed under the spool. Open it again to go on with what is really there."""


class Refused(EspError):
    """The server will not take what was sent, and sending it again would not help."""

    exit_code = 2

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the server refused: {code}: {message}")
        self.code = code


class TakenOver(EspError):
    """Another stream of the same producer runs now. We do not fight for it."""

    exit_code = 3


class SequenceGap(EspError):
    """The server expects another sequence than ours, again after a resume."""


class ProtocolViolation(EspError):
    """The server's answers do not fit what was sent."""


class GaveUp(EspError):
    """The server could not be reached for as long as the caller was willing to wait."""


class Interrupted(EspError):
    """The caller asked to stop."""

    exit_code = 130


class Rewound(EspError):
    """The server forgot batches that it had acknowledged: send again, beginning with
    `last_sequence` + 1.

    At level ACCEPTED a crash of the server may do this; at the higher levels only a restored backup
    can.
    """

    def __init__(self, last_sequence: int) -> None:
        super().__init__(f"the server's cursor moved back to {last_sequence}")
        self.last_sequence = last_sequence
