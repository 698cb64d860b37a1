"""The sender's side of the exactly-once protocol when the batches lie in a spool: which are under
way, and what the server's cursor means.
"""

from __future__ import annotations

from collections.abc import Callable

from espclient.encoding import frame_batch
from espclient.errors import ProtocolViolation, TakenOver
from espclient.protocol import telemetry_pb2
from espclient.spool import Spool
from espclient.totals import Answer, Totals
from espclient.window import SentBatch

OnRange = Callable[[int, int], None]
"""Takes the first and the last sequence of a range of batches."""


class SpoolWindow:
    """As `SendWindow`, but batches come from a `Spool`. Not thread-safe: its owner locks.

    A batch that the server lacks and the spool has no longer (damaged; or acknowledged, and then
    forgotten by the server) is replaced by an empty one, so that those behind it can go on, and is
    told to `on_lost(first, last)`. Batches that the server had acknowledged and has no longer are
    told to `on_forgotten(first, last)`, and sent again as far as the spool has them.
    """

    def __init__(
        self,
        spool: Spool,
        capacity: int,
        level: int,
        totals: Totals,
        *,
        on_lost: OnRange,
        on_forgotten: OnRange,
    ) -> None:
        self.totals = totals
        self.acknowledged: int | None = None
        """The last sequence that the server is known to have; None before the first `resume`."""
        self._spool = spool
        self._capacity = capacity
        self._level = level
        self._on_lost = on_lost
        self._on_forgotten = on_forgotten
        self._next = 0  # Number of the next batch to be written on this connection.
        self._highest = 0  # The greatest number that this process has written.
        self._under_way: dict[int, SentBatch] = {}  # Written on this connection, by number.
        self._unanswered: dict[int, int] = {}  # Readings of what totals count as unconfirmed.
        self._lost: tuple[int, int] | None = None
        self._told = 0  # The greatest number that was told as lost.

    @property
    def is_empty(self) -> bool:
        """Does the server have every batch of the spool?"""
        return self._spool.acknowledged >= self._spool.newest

    def next_to_write(self) -> SentBatch | None:
        """The oldest batch not yet written on this connection, which now counts as written."""
        number = self._next
        if number > self._spool.newest or len(self._under_way) >= self._capacity:
            return None
        record = self._spool.read(number)
        payload, readings = (record.payload, record.readings) if record else (b"", 0)
        if record is None and number > self._told:
            self._lost = (self._lost[0] if self._lost else number, number)
        if record is not None or number == self._spool.newest:
            self._tell_lost()
        sequence = number + (self._spool.base or 0)
        batch = SentBatch(sequence, frame_batch(payload, sequence), readings, None)
        self._next += 1
        self._under_way[number] = batch
        if number > self._highest:
            self._highest = number
            self._unanswered[number] = readings
            self.totals.sent_batch(readings)
        return batch

    def resume(self, last_sequence: int) -> None:
        """A connection is open and the server has stored all up to `last_sequence`."""
        if self._spool.base is None:
            # Batches of this producer that an earlier, lost spool had sent are none of ours.
            self._spool.set_base(last_sequence)
        number = last_sequence - (self._spool.base or 0)
        if number > self._spool.newest:
            raise TakenOver(
                f"the server has batch {last_sequence} of this producer, but the spool ends with"
                f" {self._spool.newest + (self._spool.base or 0)}: another sender uses the same"
                " producer id"
            )
        self._tell_lost()
        known = self._spool.acknowledged
        if number < known:
            self._spool.forgotten(number)
            self._told = 0
            self._on_forgotten(last_sequence + 1, known + (self._spool.base or 0))
        self._under_way.clear()
        for old in [each for each in self._unanswered if each <= number]:
            self.totals.answered(Answer(old, resumed=self._unanswered.pop(old)))
        self._next = number + 1
        self._spool.acknowledge(number)
        self.acknowledged = last_sequence

    def answered(self, result: telemetry_pb2.BatchResult) -> SentBatch:
        """Takes the answer to the oldest batch and returns that batch."""
        if not self._under_way:
            raise ProtocolViolation(f"an answer to batch {result.sequence}, but none is under way")
        number, batch = next(iter(self._under_way.items()))
        answer = Answer.of(result)
        if result.sequence != batch.sequence or answer.received != batch.readings:
            raise ProtocolViolation(
                f"an answer to batch {result.sequence} with {answer.received} readings, instead of"
                f" {batch.sequence} with {batch.readings}"
            )
        if result.ack_level and result.ack_level < self._level:
            raise ProtocolViolation(
                f"batch {batch.sequence} was acknowledged at level {result.ack_level};"
                f" {self._level} was asked for"
            )
        del self._under_way[number]
        if self._unanswered.pop(number, None) is not None:
            self.totals.answered(answer)
        self._spool.acknowledge(number)
        self.acknowledged = batch.sequence
        return batch

    def _tell_lost(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            self._told = lost[1]
            base = self._spool.base or 0
            self._on_lost(lost[0] + base, lost[1] + base)
