"""Whatever comes in whatever order, from honest and lying neighbours, on clocks that jump: a lease is its originator's.

The machine speaks for two originators, and delivers what they said any number of times, late, in any order, with any
age, in any combination. Signatures hold (``wire`` is tested elsewhere), so liars can only replay, mix and misdate.
"""

import hashlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peernode.mesh.leases import CLOCK_TOLERANCE_MS, Change, ChangeKind, LeaseTable
from peernode.wire.advert import MAX_LEASE_MS, Advert, SignedAdvert
from peernode.wire.renewal import Renewal, SignedRenewal

START = 1_700_000_000_000
PEERS = ("a", "b")
peers = st.sampled_from(PEERS)
leases = st.sampled_from([1, 1_000, 15_000, 60_000, MAX_LEASE_MS])
skews = st.integers(-CLOCK_TOLERANCE_MS, CLOCK_TOLERANCE_MS)
ages = st.sampled_from([0, 0, 0, 7_000]) | st.integers(-5, MAX_LEASE_MS * 2)
picks = st.integers(0, 10**6)


class Interleavings(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table = LeaseTable()
        self.now = 0
        self.skew = dict.fromkeys((*PEERS, "receiver"), 0)
        self.seq = dict.fromkeys(PEERS, 0)
        self.adverts = {peer: [] for peer in PEERS}
        self.renewals = {peer: [] for peer in PEERS}
        self.said = {}  # (peer, seq) -> (lease_ms, free_slots, issued_ms)
        self.accepted = set()

    def wall(self, whose):
        return START + self.now + self.skew[whose]

    def lease_of(self, peer):
        lease = self.table._leases.get(peer)
        return lease and (lease.standing.advert.seq, lease.ends_ms, lease.joined_ms)

    def deliver(self, peer, seq, take):
        """Offer one word and judge what the table made of it."""
        before = {other: self.lease_of(other) for other in PEERS}
        known = self.table.latest_seq(peer)
        outcome = take()
        after = {other: self.lease_of(other) for other in PEERS}
        assert all(before[other] == after[other] for other in PEERS if other != peer)
        if not isinstance(outcome, Change):
            assert before == after
            return
        assert seq > known
        assert (peer, seq) not in self.accepted
        self.accepted.add((peer, seq))
        lease_ms, _, issued_ms = self.said[peer, seq]
        assert abs(issued_ms - self.wall("receiver")) <= CLOCK_TOLERANCE_MS + lease_ms
        if lease_ms == 0:
            assert outcome.kind is ChangeKind.DEPARTED
            assert after[peer] is None
            return
        got_seq, ends_ms, _ = after[peer]
        assert got_seq == seq
        longest_ms = issued_ms + lease_ms + CLOCK_TOLERANCE_MS - self.wall("receiver")
        assert min(lease_ms // 2, longest_ms) <= ends_ms - self.now <= min(lease_ms, longest_ms)
        assert (outcome.kind is ChangeKind.JOINED) == (before[peer] is None)

    def word(self, peer, lease_ms, free_slots):
        self.seq[peer] += 1
        self.said[peer, self.seq[peer]] = (lease_ms, free_slots, self.wall(peer))
        return self.seq[peer]

    @rule(peer=peers, lease_ms=leases | st.just(0), version=st.sampled_from(["1", "2"]), free_slots=st.integers(0, 2))
    def state(self, peer, lease_ms, version, free_slots):
        seq = self.word(peer, lease_ms, free_slots)
        body = Advert("n", peer, seq, self.wall(peer), lease_ms, (), version, 2, free_slots, 0)
        digest = hashlib.blake2b(repr(body).encode(), digest_size=16).digest()
        self.adverts[peer].append(SignedAdvert(body, b"", digest))

    @precondition(lambda self: any(self.adverts.values()))
    @rule(peer=peers, lease_ms=leases, free_slots=st.integers(0, 2), pick=picks)
    def renew(self, peer, lease_ms, free_slots, pick):
        if not self.adverts[peer]:
            return
        renewed = self.adverts[peer][-1 - pick % min(2, len(self.adverts[peer]))]
        seq = self.word(peer, lease_ms, free_slots)
        body = Renewal("n", peer, seq, self.wall(peer), lease_ms, free_slots, 0, renewed.digest)
        self.renewals[peer].append(SignedRenewal(body, b""))

    @rule(peer=peers, pick=picks, newest=st.booleans(), age_ms=ages)
    def deliver_advert(self, peer, pick, newest, age_ms):
        if self.adverts[peer]:
            signed = self.adverts[peer][-1 if newest else pick % len(self.adverts[peer])]
            times = {"now_ms": self.now, "wall_ms": self.wall("receiver"), "age_ms": age_ms}
            self.deliver(peer, signed.advert.seq, lambda: self.table.offer(signed, **times))

    @rule(peer=peers, pick=picks, newest=st.booleans(), alone=st.booleans(), age_ms=ages)
    def deliver_renewal(self, peer, pick, newest, alone, age_ms):
        if self.renewals[peer]:
            signed = self.renewals[peer][-1 if newest else pick % len(self.renewals[peer])]
            anybodys = self.adverts["a"] + self.adverts["b"]
            mixed = anybodys[pick % len(anybodys)]
            times = {"now_ms": self.now, "wall_ms": self.wall("receiver"), "age_ms": age_ms}
            advert = None if alone else mixed
            self.deliver(peer, signed.renewal.seq, lambda: self.table.renew(signed, advert=advert, **times))

    @rule(ms=st.sampled_from([1, 5_000, 8_000, 15_000]) | st.integers(0, 500_000))
    def pass_time(self, ms):
        before = {peer: self.lease_of(peer) for peer in PEERS}
        self.now += ms
        expired = {change.peer for change in self.table.expire(self.now)}
        assert expired == {peer for peer, lease in before.items() if lease and lease[1] <= self.now}
        assert all(self.lease_of(peer) == (None if peer in expired else before[peer]) for peer in PEERS)

    @rule(whose=st.sampled_from((*PEERS, "receiver")), skew=skews)
    def clock_jumps(self, whose, skew):
        self.skew[whose] = skew

    @rule(peer=peers)
    def cannot_be_reached(self, peer):
        before = self.lease_of(peer)
        self.table.suspect(peer)
        assert self.lease_of(peer) == before
        assert peer not in self.table.visible()

    @invariant()
    def every_entry_is_its_originators_own_word_and_within_its_lease(self):
        for peer, standing in self.table.visible().items():
            lease_ms, free_slots, issued_ms = self.said[peer, standing.advert.seq]
            assert standing.advert.peer == standing.signed.advert.peer == peer
            assert (standing.advert.lease_ms, standing.advert.free_slots) == (lease_ms, free_slots)
            assert standing.advert.issued_ms == issued_ms
            assert not standing.signed.advert.is_departure
            if standing.renewal is not None:
                assert standing.renewal.renewal.advert == standing.signed.digest
                assert standing.signed.advert.seq < standing.advert.seq
        for _, ends_ms, _ in filter(None, map(self.lease_of, PEERS)):
            assert ends_ms > self.now
        soonest = min((lease[1] for lease in map(self.lease_of, PEERS) if lease), default=None)
        assert self.table.next_expiry() == soonest


Interleavings.TestCase.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
TestInterleavings = Interleavings.TestCase
