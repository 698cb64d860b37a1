"""A producer that is not heard of for long is forgotten; one that is connected is not; who comes back is told."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2

from espclient.channel import open_channel

from espd_process import wait_for
from ingest_stream import IngestStream, detail, make_batch


def test_expired_cursors_go_and_their_producers_begin_anew(make_espd, name: str):
    espd = make_espd(ESP_PRODUCER_EXPIRY_DAYS="30").start()
    producers = [f"{name}-{what}" for what in ("used", "expired")]
    # Not sent through espd: what lies in its journal still is in use.
    espd.database.run("INSERT INTO producer_cursor (producer_id, last_sequence, updated_at) VALUES "
                      f"('{producers[0]}', 2, NOW() - INTERVAL '29 days'), "
                      f"('{producers[1]}', 2, NOW() - INTERVAL '31 days')")
    espd.stop()
    espd.start()
    left = f"SELECT count(*) FROM producer_cursor WHERE producer_id LIKE '{name}%'"
    wait_for(lambda: espd.database.value(left) == 1, "the first sweep, at the start")
    with open_channel(espd.target) as channel:
        with IngestStream(channel, producers[0]) as stream:
            assert stream.opened().last_sequence == 2
        with IngestStream(channel, producers[1]) as stream:
            assert stream.opened().last_sequence == 0
            # It goes on where it was, not knowing: it is told what is expected.
            stream.send_batches([make_batch(producers[1], 3)])
            code, _ = stream.status()
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert detail(stream.call, error_details_pb2.ErrorInfo).metadata["expected_sequence"] == "1"
    assert espd.database.value(
        f"SELECT updated_at > NOW() - INTERVAL '1 hour' FROM producer_cursor WHERE producer_id = '{producers[0]}'"), \
        "an opening is a use"
    espd.stop()
