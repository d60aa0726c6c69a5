// Proofs about logs of receipts: docs/protocol.md, section 19.

import { decode } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { checkConsistency, checkInclusion, leafHash } from './merkle.mjs'
import { integer, octets, record, text } from './schema.mjs'
import { open } from './signed.mjs'

const compare = (one, other) => Buffer.compare(one, other)
const MOST = 2 * 65_536 + 1024
const path = (value) => {
  const joined = octets(0, 64 * 32)(value)
  if (joined.length % 32) throw new ProtocolError('bad_schema', 'a path is hashes of 32 bytes')
  return Array.from({ length: joined.length / 32 }, (_, at) => joined.subarray(32 * at, 32 * at + 32))
}
const word = record({ kind: text(0, 16), envelope: octets(0, 65_536) })
const SHAPES = {
  inclusion: { index: integer(), path, checkpoint: octets(0, 512), receipt: octets(0, 16_384) },
  consistency: { path, older: octets(0, 512), newer: octets(0, 512) },
  equivocation: { first: word, second: word }
}

function need (holds, why) {
  if (!holds) throw new ProtocolError('bad_proof', why)
}

const sameLog = (one, other) => one.network === other.network && one.peer === other.peer

export function openProof (raw) {
  const value = decode(raw, MOST)
  const [format, kind] = Array.isArray(value) ? value : []
  if (format !== 'peernode-proof/1' || !Object.hasOwn(SHAPES, kind)) throw new ProtocolError('bad_schema', 'another format')
  const proof = record(SHAPES[kind])(value.slice(2))
  CHECKS[kind](proof)
  return { kind, ...proof }
}

const CHECKS = {
  inclusion ({ index, path, checkpoint, receipt }) {
    const log = open('checkpoint', checkpoint).fields
    const { network, provider, seq } = open('receipt', receipt).fields
    need(index === seq - 1, 'another place')
    need(sameLog(log, { network, peer: provider }), 'another log')
    checkInclusion(leafHash(receipt), index, log.size, path, log.root)
  },
  consistency ({ path, older, newer }) {
    const [old, now] = [older, newer].map((raw) => open('checkpoint', raw).fields)
    need(sameLog(old, now), 'another log')
    need(old.size < now.size, 'a log that did not grow')
    checkConsistency(old.size, now.size, path, old.root, now.root)
  },
  equivocation (pair) {
    const [first, second] = [pair.first, pair.second].map(head)
    need(sameLog(first, second), 'two logs')
    const roots = first.size === second.size && compare(first.root, second.root) !== 0
    const shrank = first.seq > 0 && first.seq < second.seq && first.size > second.size
    need(roots || shrank, 'both can be true')
    need(first.seq < second.seq || (first.seq === second.seq && compare(first.raw, second.raw) < 0), 'not in order')
  }
}

function head ({ kind, envelope }) {
  if (kind === 'checkpoint') return { ...open(kind, envelope).fields, seq: 0, raw: envelope }
  if (kind !== 'advert') throw new ProtocolError('bad_schema', kind)
  const { network, peer, seq, receipts_log: { size, root } } = open(kind, envelope).fields
  if (size === 0 || root.length !== 32) throw new ProtocolError('bad_schema', 'no word on a log')
  return { network, peer, size, root, seq, raw: envelope }
}
