// `/peernode/sync/1`: docs/protocol.md, section 8.

import { decode, decodeLoosely, encode } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { Frames, ON_ANY } from './frames.mjs'
import { integer, list, octets, record, text } from './schema.mjs'

export const SYNC_PROTOCOL = '/peernode/sync/1'
const [HAVE, RECORDS, WANT, ENOUGH] = [0, 1, 2, 3]
const BATCH_MS = 1000
const KEEP_ALIVE_MS = 20_000
const QUIET_S = 60
const MAX_BAD = 32

const peers = list(text(0, 64), 8192)
const READERS = {
  [HAVE]: list(record({ peer: text(0, 64), seq: integer() }), 8192),
  [RECORDS]: list(record({ age_ms: integer(), advert: octets(0, 65_536), renewal: octets(0, 512) }), 512),
  [WANT]: peers,
  [ENOUGH]: peers
}

export class Sync {
  // `refused(neighbour, error)` is called for each record that is not genuine.
  constructor (node, table, ownPeerId, refused) {
    this.node = node
    this.table = table
    this.refused = refused
    this.ownPeerId = ownPeerId
    this.sessions = new Map()
  }

  async start () {
    await this.node.handle(SYNC_PROTOCOL, (stream, connection) => this.converse(stream, connection.remotePeer.toString()), ON_ANY)
    this.node.addEventListener('peer:connect', (event) => this.tend(event.detail))
  }

  // The smaller id opens, and opens again while the peer is connected.
  async tend (peer) {
    if (!(this.ownPeerId < peer.toString())) return
    while (this.node.getConnections(peer).length > 0) {
      await this.node.dialProtocol(peer, SYNC_PROTOCOL, ON_ANY)
        .then((stream) => this.converse(stream, peer.toString()))
        .catch(() => {}) // it ended or could not be opened; once more in a second
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }

  // Something is new: whoever lacks it is told at once.
  news () {
    for (const session of this.sessions.values()) session.tell()
  }

  async converse (stream, peer) {
    if (this.sessions.has(peer)) {
      stream.abort(new Error('there is a session with this peer'))
      return
    }
    const session = new Session(new Frames(stream), this.table, this.ownPeerId, peer, (error) => this.refused(peer, error))
    this.sessions.set(peer, session)
    try {
      await session.run()
    } catch (error) {
      session.frames.abort()
    } finally {
      session.stop()
      this.sessions.delete(peer)
    }
  }
}

class Session {
  constructor (frames, table, own, peer, refused) {
    this.frames = frames
    this.table = table
    this.own = own
    this.peer = peer
    this.refused = refused
    this.theirs = new Map() // the number that the neighbour has, or was told of, by originator
    this.wanted = new Set()
    this.muted = new Map() // since when the originator is live: a new life is told of again
    this.spoke = performance.now()
    this.bad = 0
  }

  async run () {
    const numbers = this.table.numbers()
    for (const [peer, seq] of numbers) this.theirs.set(peer, seq) // it will ask for what it lacks
    for (let at = 0; at === 0 || at < numbers.length; at += 8192) await this.send([HAVE, numbers.slice(at, at + 8192)])
    this.timer = setInterval(() => this.tell(), BATCH_MS)
    for (;;) this.take(decodeMessage(await this.frames.next(QUIET_S)))
  }

  stop () {
    clearInterval(this.timer)
  }

  async send (message) {
    this.spoke = performance.now()
    await this.frames.send(encode(message)).catch(() => {}) // run() sees the end of the stream
  }

  tell () {
    const records = []
    for (const [peer, seq] of this.table.numbers()) {
      const holding = this.table.holding(peer)
      const known = this.theirs.get(peer) ?? 0
      const asked = this.wanted.has(peer)
      if (peer === this.peer || holding === undefined || this.isMuted(peer, holding) || (seq <= known && !asked)) continue
      const advert = asked || known < holding.advertSeq ? holding.advert : new Uint8Array(0)
      records.push([holding.age_ms, advert, holding.renewal])
      this.theirs.set(peer, seq)
    }
    this.wanted.clear()
    for (let at = 0; at < records.length; at += 8) this.send([RECORDS, records.slice(at, at + 8)])
    if (performance.now() - this.spoke > KEEP_ALIVE_MS) this.send([HAVE, []])
  }

  isMuted (peer, holding) {
    return peer !== this.own && this.muted.get(peer) === holding.joined
  }

  take ([kind, entries]) {
    if (kind === HAVE) this.compare(entries)
    if (kind === RECORDS) for (const entry of entries) this.takeRecord(entry)
    if (kind === ENOUGH) for (const peer of entries) this.muted.set(peer, this.table.holding(peer)?.joined)
    if (kind === WANT) {
      for (const peer of entries) {
        this.muted.delete(peer)
        this.wanted.add(peer)
      }
    }
    this.tell()
  }

  compare (numbers) {
    const lacking = numbers.filter(({ peer, seq }) => seq > this.table.latest(peer) && peer !== this.own)
    if (lacking.length > 0) this.send([WANT, lacking.map(({ peer }) => peer)])
    for (const { peer, seq } of numbers) this.know(peer, seq)
  }

  know (peer, seq) {
    if (this.table.latest(peer) > 0 && seq > (this.theirs.get(peer) ?? 0)) this.theirs.set(peer, seq)
  }

  takeRecord ({ age_ms: age, advert, renewal }) {
    try {
      const renews = renewal.length > 0
      const outcome = renews ? this.table.takeRenewal(renewal, age, advert) : this.table.takeAdvert(advert, age)
      const newest = renews ? renewal : advert
      if (outcome === 'unknown advert') this.send([WANT, [nameIn(newest)]])
      else this.know(nameIn(newest), numberIn(newest))
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.refused(error)
      if (++this.bad > MAX_BAD) throw error
    }
  }
}

// Fields 2 and 3 of a record that was checked before.
const nameIn = (raw) => decode(decode(raw)[0])[1]
const numberIn = (raw) => decode(decode(raw)[0])[2]

function decodeMessage (frame) {
  const value = decodeLoosely(frame)
  const reader = Array.isArray(value) && value.length === 2 ? READERS[value[0]] : undefined
  if (reader === undefined) throw new ProtocolError('bad_schema', 'a sync message of unknown shape')
  return [value[0], reader(value[1])]
}
