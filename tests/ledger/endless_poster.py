"""A process for the crash test: books jobs as fast as it can from several threads, and says what is durable.

``python endless_poster.py PLACE FIRST`` writes one line for each acknowledged fact, until it is killed.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading

from ledger_load import CLIENT, COORDINATOR, countersigner, receipt_builder

from peernode.ledger import Books, Database, Event, Holds, Posting, ReceiptStore

THREADS = 8
HELD = 1000


def say(*words: object) -> None:
    """One write for each line: a line is there whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def work(database: Database, numbers: itertools.count[int]) -> None:
    store, holds = ReceiptStore(database), Holds(database)
    while True:
        number = next(numbers)
        signed = receipt_builder(number)(1, bytes(32))
        request_id = signed.receipt.request_id
        holds.hold(request_id, CLIENT, HELD, 1)
        say("held", request_id)
        made = store.countersign(signed, countersigner(signed), now_ms=2)
        say("taken", request_id, made.countersignature.cumulative)
        holds.release(request_id, 3)
        say("released", request_id)


def main() -> None:
    place, first = sys.argv[1], int(sys.argv[2])
    database = Database.open(place, own=COORDINATOR.peer_id)
    Books(database).post(Event("grant", "grant", (Posting("granted", -(10**12)), Posting(CLIENT, 10**12)), 1))
    say("ready")
    numbers = itertools.count(first)
    for _ in range(THREADS):
        threading.Thread(target=work, args=(database, numbers), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
