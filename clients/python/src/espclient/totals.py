"""What became of the readings that a sender handed over."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from espclient.protocol import telemetry_pb2


class Answer(NamedTuple):
    """What became of one batch: the counts of its `BatchResult`, or that its answer was lost."""

    sequence: int
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    rejected: int = 0
    resumed: int = 0

    @property
    def received(self) -> int:
        """Readings that it accounts for."""
        return self.stored + self.duplicate + self.quarantined + self.rejected + self.resumed

    @classmethod
    def of(cls, result: telemetry_pb2.BatchResult) -> Answer:
        """The counts of `result`."""
        return cls(
            result.sequence, result.stored, result.duplicate, result.quarantined, result.rejected
        )


@dataclass(slots=True)
class Totals:
    """Counts of readings, unless a name says otherwise. Always:

    sent = stored + duplicate + quarantined + rejected + resumed + unconfirmed
    """

    sent: int = 0
    """Handed over, each reading once however often a broken connection made it travel."""
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    rejected: int = 0
    resumed: int = 0
    """Stored before their answer could reach us: the server's cursor has passed them after a break.
    """
    unconfirmed: int = 0
    """Still without an answer; 0 after a clean end."""
    batches: int = 0
    reconnects: int = 0

    def sent_batch(self, readings: int) -> None:
        """A batch was handed over."""
        self.sent += readings
        self.unconfirmed += readings
        self.batches += 1

    def answered(self, answer: Answer) -> None:
        """It is known what became of a batch."""
        self._add(answer, 1)

    def forget_answer(self, answer: Answer) -> None:
        """The server lost a batch after answering it; the caller hands it over again."""
        self._add(answer, -1)
        self.forget_unanswered(answer.received)

    def forget_unanswered(self, readings: int) -> None:
        """A batch without an answer is dropped; the caller hands it over again."""
        self.sent -= readings
        self.unconfirmed -= readings
        self.batches -= 1

    @property
    def all_kept(self) -> bool:
        """Was every reading stored, now or before?"""
        return self.quarantined == 0 and self.rejected == 0 and self.unconfirmed == 0

    def as_dict(self) -> dict[str, int]:
        """By name, for JSON."""
        return asdict(self)

    def _add(self, answer: Answer, times: int) -> None:
        self.stored += times * answer.stored
        self.duplicate += times * answer.duplicate
        self.quarantined += times * answer.quarantined
        self.rejected += times * answer.rejected
        self.resumed += times * answer.resumed
        self.unconfirmed -= times * answer.received
