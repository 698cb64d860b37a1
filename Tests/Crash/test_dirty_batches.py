"""Random dirty batches through a spool, while espd is killed: received = stored + duplicate + quarantined + rejected.

500 batches, 2 kills; full: 10,000, 10 kills. For each answer, in sum, and as the tables have it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from espclient import StoreAndForward
from espclient.protocol import telemetry_pb2 as pb

from cluster import Cluster
from espd_process import Espd, wait_for
from test_conservation import Ledger, dirty_batch
from test_kills import cursor


def test_every_reading_of_dirty_batches_is_accounted_for_through_kills(
        make_espd: Callable[..., Espd], cluster: Cluster, name: str, seed: str, is_full: bool):
    rng = random.Random(seed)
    batches, kills = (10_000, 10) if is_full else (500, 2)
    espd = make_espd(ESP_DATABASE_URL=cluster.url).start()
    received: list[int] = []
    answers: dict[int, pb.BatchResult] = {}
    ledger = Ledger()
    moments = set(rng.sample(range(batches // 10, batches), kills))
    restarting: list[threading.Thread] = []

    def restart() -> None:
        espd.kill()
        espd.start()

    def answered(result: pb.BatchResult, _: object) -> None:
        assert result.sequence not in answers, "answered twice"
        answers[result.sequence] = result

    with StoreAndForward(espd.target, name, espd.folder / "spool", sync_interval=0.1, on_result=answered) as sender:
        for number in range(1, batches + 1):
            batch, count = dirty_batch(rng, name, number)
            received.append(count)
            assert sender.send(batch) == number
            if number in moments:
                for thread in restarting:
                    thread.join()
                restarting = [threading.Thread(target=restart)]
                restarting[0].start()
        for thread in restarting:
            thread.join()
        assert sender.flush(120)
        totals = sender.totals
        assert (sender.lost_batches, sender.forgotten_batches) == (0, 0)
    for sequence, result in answers.items():
        ledger.add(result, received[sequence - 1])
    unheard = [number for number in range(1, batches + 1) if number not in answers]
    assert sum(received[number - 1] for number in unheard) == totals.resumed, "no answer was lost but by a kill"
    assert sum(received) == totals.sent
    assert totals.sent == totals.stored + totals.duplicate + totals.quarantined + totals.rejected + totals.resumed
    wait_for(lambda: cursor(cluster, name) == batches, "all is in the database", 120)
    # What the answers that a kill took would have said is found by what the tables have beyond the others.
    stored = cluster.database.count("telemetry", f"device_id = '{name}'")
    letters = cluster.database.count("dead_letters", f"producer_id = '{name}'")
    print(f"{sum(received)} readings: {dict(ledger.totals)}, {totals.resumed} resumed; "
          f"{stored} rows, {letters} dead letters")
    heard = cluster.database.count("dead_letters", f"producer_id = '{name}' AND sequence NOT IN "
                                                   f"({', '.join(map(str, [0, *unheard]))})")
    assert heard == ledger.totals["quarantined"]
    assert 0 <= stored - ledger.totals["stored"] <= totals.resumed - (letters - heard)
    if not unheard:
        assert stored == ledger.totals["stored"]
    espd.stop()
