// Adverts, renewals and leases: docs/protocol.md, section 5.

import { equal } from './canonical.mjs'
import { open } from './signed.mjs'

const TOLERANCE_MS = 30_000
const NOTHING = new Uint8Array(0)

export class Table {
  // `changed(kind, advert)` is called for whoever joined, changed or departed.
  constructor (network, changed) {
    this.network = network
    this.changed = changed
    this.entries = new Map()
  }

  // Adverts that are live now, by peer id.
  live () {
    const now = performance.now()
    const alive = [...this.entries.values()].filter((entry) => !entry.over && entry.ends > now)
    return new Map(alive.map((entry) => [entry.advert.fields.peer, entry.advert.fields]))
  }

  latest (peer) {
    return this.entries.get(peer)?.seq ?? 0
  }

  numbers () {
    return [...this.entries].map(([peer, entry]) => [peer, entry.seq])
  }

  // What can be handed on about a peer; undefined when its lease expired.
  holding (peer) {
    const entry = this.entries.get(peer)
    if (entry === undefined || (!entry.over && entry.ends <= performance.now())) return undefined
    return {
      age_ms: Math.round(entry.age_ms + performance.now() - entry.received),
      advert: entry.advert.envelope,
      advertSeq: entry.advert.fields.seq,
      renewal: entry.renewal?.envelope ?? NOTHING
    }
  }

  // Both throw a ProtocolError for what is not genuine, and give false for what changes nothing.
  takeAdvert (raw, ageMs = 0) {
    const advert = open('advert', raw, this.network)
    const { peer, seq, lease_ms: lease } = advert.fields
    const known = this.live().has(peer)
    if (seq <= this.latest(peer) || !inItsTime(advert.fields) || (lease > 0 && ageMs >= lease)) return false
    this.entries.set(peer, entryOf(advert, undefined, advert.fields, ageMs))
    this.changed(lease === 0 ? 'departed' : known ? 'changed' : 'joined', advert.fields)
    return true
  }

  // `advertRaw` is the advert that came with it, if one did: its own lease may be long over, the renewal decides.
  // Gives 'unknown advert' when the advert that is renewed neither came along nor is held here.
  takeRenewal (raw, ageMs = 0, advertRaw = NOTHING) {
    const renewal = open('renewal', raw, this.network)
    const { peer, seq, lease_ms: lease } = renewal.fields
    if (seq <= this.latest(peer) || !inItsTime(renewal.fields) || ageMs >= lease) return false
    const entry = this.entries.get(peer)
    const known = this.live().has(peer)
    const advert = advertRaw.length > 0 ? open('advert', advertRaw, this.network) : entry?.over ? undefined : entry?.advert
    if (advert === undefined || !renews(renewal.fields, advert)) return 'unknown advert'
    this.entries.set(peer, entryOf(advert, renewal, renewal.fields, ageMs))
    if (!known || advert.envelope !== entry.advert.envelope) this.changed(known ? 'changed' : 'joined', advert.fields)
    return true
  }
}

function renews (renewal, { fields, digest }) {
  return fields.peer === renewal.peer && fields.lease_ms > 0 && fields.seq < renewal.seq &&
    equal(digest.subarray(0, 16), renewal.advert)
}

function entryOf (advert, renewal, newest, ageMs) {
  const received = performance.now()
  return {
    advert,
    renewal,
    seq: newest.seq,
    age_ms: ageMs,
    received,
    over: newest.lease_ms === 0,
    ends: received + Math.max(newest.lease_ms - ageMs, newest.lease_ms / 2)
  }
}

function inItsTime ({ issued_ms: issued, lease_ms: lease }) {
  const now = Date.now()
  return issued - now <= TOLERANCE_MS && now - (issued + lease) <= TOLERANCE_MS
}
