"""The sender's side of the exactly-once protocol, without any I/O: which batches are under way, and
what a cursor means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from espclient.errors import ProtocolViolation, TakenOver
from espclient.protocol import telemetry_pb2
from espclient.totals import Answer, Totals

REMEMBERED_ANSWERS = 16_384
"""Answers kept to take them back when the server's cursor moves back; beyond, totals count those
readings twice.
"""


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch under way."""

    sequence: int
    payload: bytes
    """The whole `IngestStreamRequest`, kept until the batch is answered."""
    readings: int
    tag: Any
    """Whatever the caller wants to find again beside the answer."""


class SendWindow:
    """Batches handed over and not yet answered, oldest first. Not thread-safe: its owner locks."""

    def __init__(self, capacity: int, totals: Totals) -> None:
        self.capacity = capacity
        self.totals = totals
        self.acknowledged: int | None = None
        """The last sequence that is answered or known as stored; None before the first `resume`."""
        self.rewound_to: int | None = None
        """Set when the server has forgotten answered batches; the owner tells the caller and clears
        it.
        """
        self._pending: deque[SentBatch] = deque()
        self._written = 0
        self._answers: deque[Answer] = deque(maxlen=REMEMBERED_ANSWERS)

    @property
    def is_empty(self) -> bool:
        """Is every batch answered?"""
        return not self._pending

    @property
    def has_room(self) -> bool:
        """May another batch be added?"""
        return len(self._pending) < self.capacity

    @property
    def next_sequence(self) -> int:
        """Sequence of the next batch to be added. Only after the first `resume`."""
        assert self.acknowledged is not None, "the server's cursor is not known yet"
        return self.acknowledged + len(self._pending) + 1

    def add(self, make: Callable[[int], bytes], readings: int, tag: Any = None) -> int:
        """Adds a batch whose payload `make` builds for its sequence, and returns that sequence."""
        sequence = self.next_sequence
        self._pending.append(SentBatch(sequence, make(sequence), readings, tag))
        self.totals.sent_batch(readings)
        return sequence

    def next_to_write(self) -> SentBatch | None:
        """The oldest batch not yet written on this connection, which now counts as written."""
        if self._written == len(self._pending):
            return None
        self._written += 1
        return self._pending[self._written - 1]

    def resume(self, last_sequence: int) -> None:
        """A connection is open and the server has stored all up to `last_sequence`; what follows is
        written again.
        """
        self._written = 0
        if self.acknowledged is None:
            self.acknowledged = last_sequence
            return
        newest = self.next_sequence - 1
        if last_sequence > newest:
            raise TakenOver(
                f"the server has batch {last_sequence} of this producer, but we have sent only"
                f" {newest}: another sender uses the same producer id"
            )
        if last_sequence < self.acknowledged:
            self._rewind(last_sequence)
        while self._pending and self._pending[0].sequence <= last_sequence:
            batch = self._pending.popleft()
            self._settle(Answer(batch.sequence, resumed=batch.readings))
        self.acknowledged = last_sequence

    def answered(self, result: telemetry_pb2.BatchResult) -> SentBatch:
        """Takes the answer to the oldest batch and returns that batch."""
        if self._written == 0:
            raise ProtocolViolation(f"an answer to batch {result.sequence}, but none is under way")
        batch = self._pending[0]
        if result.sequence != batch.sequence:
            raise ProtocolViolation(
                f"an answer to batch {result.sequence} instead of {batch.sequence}"
            )
        answer = Answer.of(result)
        if answer.received != batch.readings:
            raise ProtocolViolation(
                f"batch {batch.sequence} has {batch.readings} readings,"
                f" but the answer accounts for {answer.received}"
            )
        self._pending.popleft()
        self._written -= 1
        self.acknowledged = batch.sequence
        self._settle(answer)
        return batch

    def _settle(self, answer: Answer) -> None:
        self._answers.append(answer)
        self.totals.answered(answer)

    def _rewind(self, last_sequence: int) -> None:
        """The server lost answered batches: all after `last_sequence` must be handed over again by
        the caller.
        """
        while self._answers and self._answers[-1].sequence > last_sequence:
            self.totals.forget_answer(self._answers.pop())
        for batch in self._pending:
            self.totals.forget_unanswered(batch.readings)
        self._pending.clear()
        self.rewound_to = last_sequence
