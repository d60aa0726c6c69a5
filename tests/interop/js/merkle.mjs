// Merkle trees of logs: docs/protocol.md, section 19 (RFC 9162, 2.1.3.2 and 2.1.4.2). Sizes are numbers below 2^53.

import { createHash } from 'node:crypto'
import { concat, equal } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'

const sha256 = (...parts) => new Uint8Array(createHash('sha256').update(concat(parts)).digest())
export const leafHash = (entry) => sha256(Uint8Array.of(0), entry)
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right)
const half = (number) => Math.floor(number / 2)

function need (holds, why) {
  if (!holds) throw new ProtocolError('bad_proof', why)
}

export function checkInclusion (leaf, index, size, path, root) {
  need(index < size, 'no such entry')
  let at = index
  let last = size - 1
  let found = leaf
  for (const other of path) {
    need(last > 0, 'a path that is too long')
    if (at % 2 === 1 || at === last) {
      found = nodeHash(other, found)
      while (at > 0 && at % 2 === 0) [at, last] = [half(at), half(last)]
    } else {
      found = nodeHash(found, other)
    }
    [at, last] = [half(at), half(last)]
  }
  need(last === 0, 'a path that is too short')
  need(equal(found, root), 'another root')
}

export function checkConsistency (old, now, path, oldRoot, newRoot) {
  need(old >= 1 && old <= now, 'a log that shrank')
  if (old === now) {
    need(path.length === 0 && equal(oldRoot, newRoot), 'two roots of one size')
    return
  }
  const hashes = Number.isInteger(Math.log2(old)) ? [oldRoot, ...path] : path
  need(hashes.length > 0, 'a path that is too short')
  let at = old - 1
  let last = now - 1
  while (at % 2 === 1) [at, last] = [half(at), half(last)]
  let first = hashes[0]
  let second = hashes[0]
  for (const other of hashes.slice(1)) {
    need(last > 0, 'a path that is too long')
    if (at % 2 === 1 || at === last) {
      first = nodeHash(other, first)
      second = nodeHash(other, second)
      while (at > 0 && at % 2 === 0) [at, last] = [half(at), half(last)]
    } else {
      second = nodeHash(second, other)
    }
    [at, last] = [half(at), half(last)]
  }
  need(last === 0, 'a path that is too short')
  need(equal(first, oldRoot) && equal(second, newRoot), 'other roots')
}
