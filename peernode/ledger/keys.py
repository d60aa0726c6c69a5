"""The keys of clients: made, found, listed, changed, revoked and topped up.

Every change is durable when its method returns and seen by all nodes of the database with their next look. Methods
block. Functions that take a connection are for works of the ledger's one writer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Row, func, insert, select, update

from peernode.ledger import events
from peernode.ledger.books import post
from peernode.ledger.client_key import ClientKey, KeyLimits, KeyText, new_key_text
from peernode.ledger.client_schema import client_keys
from peernode.ledger.database import Database
from peernode.ledger.errors import LedgerError
from peernode.ledger.events import Event, Posting
from peernode.ledger.supply import check_supply

MAX_NAME_CHARS = 200
MAX_MODELS_CHARS = 8192
# The public part of a key is 49 bits; of a billion keys two would meet by chance now and then.
_DRAWS = 8


class NoSuchKey(LedgerError):
    """No key has this id or name, or several keys have this name."""

    code = "no_such_key"


class BadKeyLimits(LedgerError):
    """A limit that cannot be kept in the ledger, or that means nothing."""

    code = "bad_key_limits"


class KeyGone(LedgerError):
    """What is asked for makes no sense with a revoked key."""

    code = "key_is_revoked"


class Keys:
    """All keys of one ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, limits: KeyLimits, *, now_ms: int, random_bytes: Callable[[int], bytes]
    ) -> tuple[ClientKey, KeyText]:
        """A new key, and its text, which nothing can show again. Raises BadKeyLimits."""
        _check(name, limits)

        def work(db: Connection) -> tuple[ClientKey, KeyText]:
            for _ in range(_DRAWS):
                text = new_key_text(random_bytes)
                if find(db, text.id) is None:
                    break
            else:
                raise LedgerError("No free name was found for a key.", remedy="Try again.")
            values = {"id": text.id, "digest": text.digest, "name": name, "created_ms": now_ms}
            db.execute(insert(client_keys).values(**values, **_columns(limits)))
            return ClientKey(text.id, name, now_ms, limits), text

        return self._database.writer.run(work)

    def recognise(self, offered: KeyText) -> ClientKey | None:
        """The key that ``offered`` is, revoked or expired or not; None when it is none of this ledger's."""
        query = select(client_keys).where(client_keys.c.id == offered.id)
        with self._database.reader() as db:
            row = db.execute(query).first()
        digest = row.digest if row is not None else bytes(32)
        return _key(row) if offered.matches(digest) and row is not None else None

    def list(self) -> Sequence[ClientKey]:
        """All keys, the oldest first."""
        with self._database.reader() as db:
            return [_key(row) for row in db.execute(select(client_keys).order_by(client_keys.c.created_ms))]

    def named(self, name: str) -> ClientKey:
        """The key of this id, or the only one of this name. Raises NoSuchKey."""
        with self._database.reader() as db:
            found = find(db, name)
            if found is not None:
                return found
            same = db.execute(select(client_keys).where(client_keys.c.name == name).limit(2)).all()
        if len(same) != 1:
            raise NoSuchKey(
                "Several keys have this name." if same else "No key has this id or name.",
                cause=name[:80],
                remedy="Name it by its id; `peernode keys list` shows all.",
            )
        return _key(same[0])

    def any(self) -> bool:
        """Whether there is a key at all."""
        with self._database.reader() as db:
            return bool(db.execute(select(func.count()).select_from(client_keys)).scalar())

    def limit(self, key_id: str, limits: KeyLimits) -> ClientKey:
        """Put ``limits`` in place of the key's own. Raises NoSuchKey, KeyGone or BadKeyLimits."""
        _check("", limits)

        def work(db: Connection) -> ClientKey:
            active(db, key_id)
            db.execute(update(client_keys).where(client_keys.c.id == key_id).values(**_columns(limits)))
            return active(db, key_id)

        return self._database.writer.run(work)

    def revoke(self, key_id: str, *, now_ms: int) -> ClientKey:
        """For ever, and at once; again changes nothing. What it has left stays in the books. Raises NoSuchKey."""

        def work(db: Connection) -> ClientKey:
            never = client_keys.c.revoked_ms.is_(None)
            db.execute(update(client_keys).where(client_keys.c.id == key_id, never).values(revoked_ms=now_ms))
            return existing(db, key_id)

        return self._database.writer.run(work)

    def grant(self, key_id: str, amount: int, *, key: str, at_ms: int, note: str = "") -> bool:
        """Give the key ``amount`` micro-credits. ``key`` is the event's: the same one twice gives once, and says False.

        Raises NoSuchKey, KeyGone, BadKeyLimits, SupplyExhausted or EventConflict.
        """
        if not 0 < amount <= events.MAX_AMOUNT:
            raise BadKeyLimits("A grant is more than nothing.", cause=str(amount)[:40])

        def work(db: Connection) -> bool:
            account = active(db, key_id).account
            postings = (Posting(events.GRANTED, -amount), Posting(account, amount))
            if not post(db, Event(key, "grant", postings, at_ms, about=key_id, note=note)):
                return False
            check_supply(db, key_id, amount)
            return True

        return self._database.writer.run(work)


def find(db: Connection, key_id: str) -> ClientKey | None:
    """The key of this id."""
    row = db.execute(select(client_keys).where(client_keys.c.id == key_id)).first()
    return None if row is None else _key(row)


def existing(db: Connection, key_id: str) -> ClientKey:
    """The key of this id. Raises NoSuchKey."""
    found = find(db, key_id)
    if found is None:
        raise NoSuchKey("No key has this id.", cause=key_id[:80], remedy="`peernode keys list` shows all.")
    return found


def active(db: Connection, key_id: str) -> ClientKey:
    """The key of this id. Raises NoSuchKey, or KeyGone when it is revoked."""
    found = existing(db, key_id)
    if found.revoked_ms is not None:
        raise KeyGone("This key is revoked.", cause=key_id, remedy="Make another with `peernode keys create`.")
    return found


def _check(name: str, limits: KeyLimits) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise BadKeyLimits(f"A key's name has at most {MAX_NAME_CHARS} characters.")
    if len(json.dumps(limits.models)) > MAX_MODELS_CHARS:
        raise BadKeyLimits("Too many models are named.", remedy="Use patterns like org/*.")
    for what in ("day_cap", "month_cap"):
        amount = getattr(limits, what)
        if amount is not None and not 0 <= amount <= events.MAX_AMOUNT:
            raise BadKeyLimits("A cap is no such number of credits.", cause=f"{what}: {amount}")
    for what in ("requests_per_minute", "tokens_per_minute"):
        count = getattr(limits, what)
        if count is not None and not 0 < count < 1 << 31:
            raise BadKeyLimits("A limit per minute is a number from 1.", cause=f"{what}: {count}")


def _columns(limits: KeyLimits) -> dict[str, object]:
    return {
        "unlimited": limits.unlimited,
        "day_cap": limits.day_cap,
        "month_cap": limits.month_cap,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "models": json.dumps(limits.models),
        "dialects": json.dumps(limits.dialects),
        "expires_ms": limits.expires_ms,
    }


def _key(row: Row[tuple[object, ...]]) -> ClientKey:
    limits = KeyLimits(
        unlimited=bool(row.unlimited),
        day_cap=row.day_cap,
        month_cap=row.month_cap,
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        models=tuple(json.loads(row.models)),
        dialects=tuple(json.loads(row.dialects)),
        expires_ms=row.expires_ms,
    )
    return ClientKey(row.id, row.name, row.created_ms, limits, row.revoked_ms)
