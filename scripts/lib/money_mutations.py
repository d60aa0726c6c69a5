"""Forgeries of everything that is signed about money: what somebody could make who has all of it, and other keys.

Each forger makes one kind of them from an exhibit; none may be taken in. What comes out as it was by chance is made
again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from money_objects import OTHER_NETWORK, Exhibit
from mutations import Broken, mutate
from vector_values import COORDINATOR, PROVIDER, STRANGER

from peernode.errors import PeernodeError
from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.envelope import signed_bytes, unseal
from peernode.wire.errors import NotCanonical
from peernode.wire.identity import Identity

KINDS = ("advert", "renewal", "offer", "receipt", "countersignature", "settlement", "acknowledgement", "checkpoint")
WIRE_KIND = {"settlement note": "settlement"}
_ORDER = (1 << 252) + 27742317777372353535851937790883648493
_STRANGERS = (STRANGER, PROVIDER, COORDINATOR)
MOST_TRIES = 100

Forger = Callable[[random.Random, Exhibit], bytes]


def forge(rng: random.Random, exhibit: Exhibit) -> tuple[str, bytes]:
    """The name of a forgery, and its bytes."""
    forgers = SIGNED if exhibit.signer else UNSIGNED
    for _ in range(MOST_TRIES):
        name = rng.choice(list(forgers))
        raw = forgers[name](rng, exhibit)
        if raw != exhibit.raw:
            return name, raw
    raise AssertionError("nothing but the original comes out")


def judge(name: str, exhibit: Exhibit, raw: bytes) -> str:
    """The code of the refusal. Raises ``Broken`` when there is none."""
    try:
        exhibit.take(raw)
    except PeernodeError as err:
        return err.code
    raise Broken(f"{exhibit.kind}, {name}: taken in, {raw.hex()}")


def run(exhibits: Sequence[Exhibit], rounds: int, seed: int) -> Counter[tuple[str, str, str]]:
    """``rounds`` forgeries; how often which (kind, forgery, refusal) came. Raises ``Broken``, or whatever crashed."""
    rng, ends = random.Random(seed), Counter[tuple[str, str, str]]()
    for _ in range(rounds):
        exhibit = rng.choice(exhibits)
        name, raw = forge(rng, exhibit)
        ends[exhibit.kind, name, judge(name, exhibit, raw)] += 1
    return ends


def _bytes(rng: random.Random, exhibit: Exhibit) -> bytes:
    return mutate(rng, exhibit.raw, (exhibit.raw, *exhibit.others))


def _field(rng: random.Random, exhibit: Exhibit) -> bytes:
    """One field changed, at whatever depth, under the signature that was there."""
    body, signature = _parts(exhibit)
    return canonical.encode([_encoded(_bent(rng, _list(body))), signature])


def _field_resigned(rng: random.Random, exhibit: Exhibit) -> bytes:
    """One field changed, perhaps none, and signed by somebody else."""
    body, _ = _parts(exhibit)
    fields = _list(body) if rng.random() < 0.3 else _bent(rng, _list(body))
    who = rng.choice([each for each in _STRANGERS if each is not exhibit.signer])
    return _signed(exhibit, fields, who)


def _own_change(rng: random.Random, exhibit: Exhibit) -> bytes:
    """A field that the other side knows better, changed by the signer itself."""
    body, _ = _parts(exhibit)
    fields, place = _list(body), rng.choice(exhibit.bound)
    fields[place] = _other(rng, fields[place])
    assert exhibit.signer is not None
    return _signed(exhibit, fields, exhibit.signer)


def _misshapen(rng: random.Random, exhibit: Exhibit) -> bytes:
    """Fields that are missing, twice, or of another type, rightly signed."""
    body, _ = _parts(exhibit)
    fields, kind = _list(body), rng.randrange(4)
    place = rng.randrange(len(fields))
    if kind == 0:
        del fields[place]
    elif kind == 1:
        fields.insert(place, rng.choice(fields))
    elif kind == 2:
        fields[place] = rng.choice(
            [value for value in (None, True, -1, "", b"", [], [[]]) if type(value) is not type(fields[place])]
        )
    else:
        fields.append(rng.choice([None, 0, "", b"", []]))
    assert exhibit.signer is not None
    return _signed(exhibit, fields, exhibit.signer)


def _other_domain(rng: random.Random, exhibit: Exhibit) -> bytes:
    """The body as it was, rightly signed, for something else."""
    body, _ = _parts(exhibit)
    assert exhibit.signer is not None
    own = _kind(exhibit)
    tags = [b"peernode/%s/1\0" % kind.encode() for kind in KINDS if kind != own]
    tags += [b"", b"peernode/%s/2\0" % own.encode(), b"peernode/%s/1" % own.encode(), b"\0"]
    return canonical.encode([body, exhibit.signer.sign(rng.choice(tags) + body)])


def _other_network(rng: random.Random, exhibit: Exhibit) -> bytes:
    """Genuine, in another network; perhaps with another field changed as well."""
    body, _ = _parts(exhibit)
    fields = _list(body) if rng.random() < 0.5 else _bent(rng, _list(body))
    fields[0] = rng.choice([OTHER_NETWORK, "", "VECTORS", "vectors ", "x" * rng.randrange(1, 64)])
    assert exhibit.signer is not None
    return _signed(exhibit, fields, exhibit.signer)


def _replay(rng: random.Random, exhibit: Exhibit) -> bytes:
    """Genuine, and about something else."""
    return rng.choice(exhibit.others)


def _other_signature(rng: random.Random, exhibit: Exhibit) -> bytes:
    """The body as it was, with the signature of another one of its kind, or bent."""
    body, signature = _parts(exhibit)
    kind = rng.randrange(4)
    if kind == 0:
        other, _ = unseal(_kind(exhibit), rng.choice(exhibit.others))
        signature = other.signature
    elif kind == 1:
        scalar = int.from_bytes(signature[32:], "little") + rng.randrange(1, 15) * _ORDER
        signature = signature[:32] + (scalar % (1 << 256)).to_bytes(32, "little")
    elif kind == 2:
        signature = rng.choice([bytes(64), b"\1" + bytes(63), signature[32:] + signature[:32], rng.randbytes(64)])
    else:
        bits = int.from_bytes(signature, "little") ^ 1 << rng.randrange(512)
        signature = bits.to_bytes(64, "little")
    return canonical.encode([body, signature])


def _inside(rng: random.Random, exhibit: Exhibit) -> bytes:
    """A field of a proof changed, or of what is signed inside it, at whatever depth."""
    return _encoded(_bent(rng, _list(exhibit.raw)))


def _exchanged(rng: random.Random, exhibit: Exhibit) -> bytes:
    """Parts of a proof in each other's place, missing, twice, or another genuine one in their place."""
    fields = _list(exhibit.raw)
    one, other = rng.randrange(2, len(fields)), rng.randrange(len(fields))
    kind = rng.randrange(4)
    if kind == 0:
        fields[one], fields[other] = fields[other], fields[one]
    elif kind == 1:
        del fields[one]
    elif kind == 2:
        fields.insert(one, fields[other])
    else:
        fields[one] = rng.choice(exhibit.others)
    return _encoded(fields)


SIGNED: dict[str, Forger] = {
    "bytes changed": _bytes,
    "a field changed": _field,
    "signed by somebody else": _field_resigned,
    "changed by its signer": _own_change,
    "of another shape": _misshapen,
    "of another domain": _other_domain,
    "of another network": _other_network,
    "replayed elsewhere": _replay,
    "another signature": _other_signature,
}
UNSIGNED: dict[str, Forger] = {"bytes changed": _bytes, "a field changed": _inside, "parts exchanged": _exchanged}


def _bent(rng: random.Random, fields: list[Value]) -> list[Value]:
    """One leaf changed: of the list, of a list in it, or of canonical bytes in it."""
    place = rng.randrange(len(fields))
    return [*fields[:place], _other(rng, fields[place]), *fields[place + 1 :]]


def _other(rng: random.Random, value: Value) -> Value:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        near = value + rng.choice([-1, 1, 1 << rng.randrange(62), -(1 << rng.randrange(62))])
        return near if 0 <= near < 1 << 63 else rng.randrange(1 << 32) + (value == 0)
    if isinstance(value, (list, tuple)):
        inner = list(value)
        return _bent(rng, inner) if inner and rng.random() < 0.9 else [*inner, 0]
    if isinstance(value, bytes):
        if rng.random() < 0.7 and (inside := _nested(value)):
            return _encoded(_bent(rng, inside))
        if not value:
            return b"\0"
        at = rng.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
    if value in {each.peer_id for each in _STRANGERS} and rng.random() < 0.5:
        return rng.choice([each.peer_id for each in _STRANGERS if each.peer_id != value])
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice("xX0 \0é") + value[at + rng.randrange(2) :]


def _nested(raw: bytes) -> list[Value]:
    try:
        value = canonical.decode(raw)
    except NotCanonical:
        return []
    return value if isinstance(value, list) else []


def _list(raw: bytes) -> list[Value]:
    fields = canonical.decode(raw)
    assert isinstance(fields, list)
    return fields


def _parts(exhibit: Exhibit) -> tuple[bytes, bytes]:
    envelope, _ = unseal(_kind(exhibit), exhibit.raw)
    return envelope.body, envelope.signature


def _kind(exhibit: Exhibit) -> str:
    return WIRE_KIND.get(exhibit.kind, exhibit.kind)


def _signed(exhibit: Exhibit, fields: list[Value], who: Identity) -> bytes:
    body = _encoded(fields)
    return canonical.encode([body, who.sign(signed_bytes(_kind(exhibit), body))])


def _encoded(fields: list[Value]) -> bytes:
    return canonical.encode(fields)
