"""A long stream arrives in every column of every row.

200,000 readings a form; full (ESP_TEST_FULL=1): 1,000,000.
"""

from __future__ import annotations

import pytest

from espclient import ResumingStream

from espd_process import Espd
from readings import Checksum, Feed


@pytest.mark.parametrize("form", ["rows", "blocks"])
def test_a_stream_in_batches_of_1000_is_stored_value_for_value(shared: Espd, name: str, form: str, is_full: bool):
    feed = Feed(name)
    sent = Checksum()
    batches = 1000 if is_full else 200
    with ResumingStream(shared.target, name) as stream:
        for number in range(1, batches + 1):
            sent.add(feed.rows(number) if form == "rows" else feed.block_rows(number))
            stream.send(feed.batch(number) if form == "rows" else feed.block_batch(number))
    totals = stream.totals
    assert (totals.sent, totals.stored, totals.reconnects) == (batches * 1000, batches * 1000, 0)
    stored = Checksum.stored(shared.database, f"device_id LIKE '{name}-%'")
    assert stored == sent
    assert stored.count == batches * 1000
