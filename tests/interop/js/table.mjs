// Adverts, renewals and leases: docs/protocol.md, section 5.

import { equal } from './canonical.mjs'
import { open } from './signed.mjs'

const TOLERANCE_MS = 30_000
const NOTHING = new Uint8Array(0)

export class Table {
  // `changed(kind, advert)` is called for whoever joined, changed, renewed or departed.
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
      renewal: entry.renewal?.envelope ?? NOTHING,
      joined: entry.joined
    }
  }

  // Both throw a ProtocolError for what is not genuine, and give false for what changes nothing.
  takeAdvert (raw, ageMs = 0) {
    return this.take(open('advert', raw, this.network), undefined, ageMs)
  }

  // Of the advert that is given, or else of the one that is held; gives 'unknown advert' when it is not of that one.
  takeRenewal (raw, ageMs = 0, advertRaw = NOTHING) {
    const renewal = open('renewal', raw, this.network)
    const { peer, seq, advert: digest } = renewal.fields
    if (seq <= this.latest(peer)) return false
    const held = this.live().has(peer) ? this.entries.get(peer).advert : undefined
    const advert = advertRaw.length > 0 ? open('advert', advertRaw, this.network) : held
    const named = advert !== undefined && equal(advert.digest.subarray(0, 16), digest)
    const sound = named && advert.fields.peer === peer && advert.fields.seq < seq && advert.fields.lease_ms > 0
    return sound ? this.take(advert, renewal, ageMs) : 'unknown advert'
  }

  take (advert, renewal, ageMs) {
    const newest = renewal?.fields ?? advert.fields
    const { peer, seq, lease_ms: lease } = newest
    if (seq <= this.latest(peer) || !inItsTime(newest) || (lease > 0 && ageMs >= lease)) return false
    const before = this.live().has(peer) ? this.entries.get(peer) : undefined
    const received = performance.now()
    const longest = newest.issued_ms + lease + TOLERANCE_MS - Date.now()
    this.entries.set(peer, {
      advert,
      renewal,
      seq,
      age_ms: ageMs,
      received,
      joined: before?.joined ?? received,
      over: lease === 0,
      ends: received + Math.min(Math.max(lease - ageMs, lease / 2), longest)
    })
    if (lease === 0) this.changed('departed', advert.fields)
    else if (before === undefined) this.changed('joined', advert.fields)
    else this.changed(equal(before.advert.digest, advert.digest) ? 'renewed' : 'changed', advert.fields)
    return true
  }
}

function inItsTime ({ issued_ms: issued, lease_ms: lease }) {
  const now = Date.now()
  return issued - now <= TOLERANCE_MS && now - (issued + lease) <= TOLERANCE_MS
}
