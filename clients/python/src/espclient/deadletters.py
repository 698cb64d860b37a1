"""What the server quarantined: list it, have it judged again, discard it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc

from espclient.channel import open_channel
from espclient.protocol import dead_letter_pb2, dead_letter_pb2_grpc
from espclient.query import failure

PAGE_LETTERS = 1000
"""Dead letters a page, the most that a server gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters; all that is given must match. Times are microseconds, of the receipt,
    half-open.
    """

    producer_id: str | None = None
    """"" = those that came without a producer."""
    reason: str = ""
    device_id: str = ""
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True, slots=True)
class Requeued:
    """How a requeue ended."""

    stored: int
    still_invalid: int


def list_dead_letters(
    target: str, chosen: DeadLetterFilter | None = None, *, include_original: bool = False
) -> Iterator[dead_letter_pb2.DeadLetter]:
    """Dead letters, newest first, page after page."""
    request = dead_letter_pb2.ListDeadLettersRequest(
        limit=PAGE_LETTERS, include_original=include_original
    )
    _set(request, chosen or DeadLetterFilter())
    with open_channel(target) as channel:
        stub = dead_letter_pb2_grpc.DeadLetterServiceStub(channel)
        while True:
            try:
                page = stub.ListDeadLetters(request)
            except grpc.RpcError as error:
                raise failure(error) from None
            yield from page.dead_letters
            request.page_token = page.next_page_token
            if not request.page_token:
                return


def requeue_dead_letters(
    target: str, chosen: Sequence[int] | DeadLetterFilter, *, dry_run: bool = False
) -> Requeued:
    """Has dead letters judged again, by their ids or by a filter; `DeadLetterFilter()` = all. Those
    that are valid now are stored, each exactly once. After an error the same call goes on with the
    rest.
    """
    request = dead_letter_pb2.RequeueDeadLettersRequest(dry_run=dry_run)
    _choose(request, chosen)
    with open_channel(target) as channel:
        try:
            answer = dead_letter_pb2_grpc.DeadLetterServiceStub(channel).RequeueDeadLetters(request)
        except grpc.RpcError as error:
            raise failure(error) from None
    return Requeued(answer.stored, answer.still_invalid)


def discard_dead_letters(target: str, chosen: Sequence[int] | DeadLetterFilter) -> int:
    """Deletes dead letters for good, by their ids or by a filter; `DeadLetterFilter()` = all.
    Returns how many.
    """
    request = dead_letter_pb2.DiscardDeadLettersRequest()
    _choose(request, chosen)
    with open_channel(target) as channel:
        try:
            answer = dead_letter_pb2_grpc.DeadLetterServiceStub(channel).DiscardDeadLetters(request)
        except grpc.RpcError as error:
            raise failure(error) from None
    return answer.discarded


def _choose(
    request: dead_letter_pb2.RequeueDeadLettersRequest | dead_letter_pb2.DiscardDeadLettersRequest,
    chosen: Sequence[int] | DeadLetterFilter,
) -> None:
    if not isinstance(chosen, DeadLetterFilter):
        request.id.extend(chosen)
    elif chosen == DeadLetterFilter():
        request.all = True
    else:
        _set(request.filter, chosen)


def _set(
    message: dead_letter_pb2.ListDeadLettersRequest | dead_letter_pb2.DeadLetterFilter,
    chosen: DeadLetterFilter,
) -> None:
    if chosen.producer_id is not None:
        message.producer_id = chosen.producer_id
    message.reason = chosen.reason
    message.device_id = chosen.device_id
    for name, time_us in (("start_time", chosen.start_us), ("end_time", chosen.end_us)):
        if time_us is not None:
            getattr(message, name).FromMicroseconds(time_us)
