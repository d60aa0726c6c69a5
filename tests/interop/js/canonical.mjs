// Canonical encoding: docs/protocol.md, section 3. Integers beyond 2^53 - 1 are BigInt, bytes are Uint8Array.

import { ProtocolError } from './errors.mjs'

const MAX_DEPTH = 8
const utf8 = new TextEncoder()
// Fatal for bytes that are not UTF-8; a byte order mark is a character like any other.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encode (value) {
  const out = []
  write(value, out, MAX_DEPTH)
  return concat(out)
}

// In any form of msgpack, for what is not signed.
export function decodeLoosely (raw) {
  const reader = new Reader(raw)
  const value = reader.value(MAX_DEPTH)
  if (reader.at !== raw.length) throw new ProtocolError('not_canonical', 'trailing bytes')
  return value
}

export function decode (raw, mostBytes = 1 << 20) {
  if (raw.length > mostBytes) throw new ProtocolError('not_canonical', `${raw.length} bytes of ${mostBytes}`)
  const value = decodeLoosely(raw)
  if (!equal(encode(value), raw)) throw new ProtocolError('not_canonical', 'does not encode back to itself')
  return value
}

export function concat (parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export function equal (one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at])
}

function bigEndian (first, value, size) {
  const bytes = new Uint8Array(1 + size)
  bytes[0] = first
  let rest = BigInt.asUintN(8 * size, BigInt(value))
  for (let at = size; at > 0; at--) {
    bytes[at] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}

function integer (value) {
  if (value >= 0) {
    if (value <= 0x7f) return Uint8Array.of(Number(value))
    if (value <= 0xff) return bigEndian(0xcc, value, 1)
    if (value <= 0xffff) return bigEndian(0xcd, value, 2)
    if (value <= 0xffffffff) return bigEndian(0xce, value, 4)
    if (value <= 0xffffffffffffffffn) return bigEndian(0xcf, value, 8)
  } else {
    if (value >= -32) return Uint8Array.of(Number(value) + 256)
    if (value >= -0x80) return bigEndian(0xd0, value, 1)
    if (value >= -0x8000) return bigEndian(0xd1, value, 2)
    if (value >= -0x80000000) return bigEndian(0xd2, value, 4)
    if (value >= -0x8000000000000000n) return bigEndian(0xd3, value, 8)
  }
  throw new ProtocolError('bad_schema', 'an integer does not fit 64 bits')
}

// The head of text, bytes or a list: `fix` is [first byte, most] of the form without a length, if there is one.
function head (length, fix, forms) {
  if (fix && length <= fix[1]) return Uint8Array.of(fix[0] + length)
  for (const [first, size] of forms) {
    if (length < 2 ** (8 * size)) return bigEndian(first, length, size)
  }
  throw new ProtocolError('bad_schema', 'too long')
}

function write (value, out, depth) {
  if (depth < 0) throw new ProtocolError('not_canonical', 'nested too deeply')
  if (value === null) out.push(Uint8Array.of(0xc0))
  else if (value === false) out.push(Uint8Array.of(0xc2))
  else if (value === true) out.push(Uint8Array.of(0xc3))
  else if (typeof value === 'bigint' || Number.isSafeInteger(value)) out.push(integer(value))
  else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new ProtocolError('bad_schema', 'half a character')
    const bytes = utf8.encode(value)
    out.push(head(bytes.length, [0xa0, 31], [[0xd9, 1], [0xda, 2], [0xdb, 4]]), bytes)
  } else if (value instanceof Uint8Array) {
    out.push(head(value.length, null, [[0xc4, 1], [0xc5, 2], [0xc6, 4]]), value)
  } else if (Array.isArray(value)) {
    out.push(head(value.length, [0x90, 15], [[0xdc, 2], [0xdd, 4]]))
    for (const item of value) write(item, out, depth - 1)
  } else {
    throw new ProtocolError('not_canonical', `a ${typeof value} cannot be encoded`)
  }
}

class Reader {
  constructor (raw) {
    this.raw = raw
    this.at = 0
  }

  take (length) {
    if (this.at + length > this.raw.length) throw new ProtocolError('not_canonical', 'ends early')
    this.at += length
    return this.raw.subarray(this.at - length, this.at)
  }

  number (size) {
    let value = 0n
    for (const byte of this.take(size)) value = (value << 8n) | BigInt(byte)
    return value
  }

  text (length) {
    try {
      return strict.decode(this.take(length))
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      throw new ProtocolError('not_canonical', 'text is not UTF-8')
    }
  }

  list (length, depth) {
    // Every value takes a byte at least, so a length that lies is seen before anything is allocated for it.
    if (length > this.raw.length - this.at) throw new ProtocolError('not_canonical', 'ends early')
    const items = []
    for (let count = 0; count < length; count++) items.push(this.value(depth - 1))
    return items
  }

  value (depth) {
    if (depth < 0) throw new ProtocolError('not_canonical', 'nested too deeply')
    const [first] = this.take(1)
    if (first <= 0x7f) return first
    if (first >= 0xe0) return first - 256
    if (first >= 0xa0 && first <= 0xbf) return this.text(first - 0xa0)
    if (first >= 0x90 && first <= 0x9f) return this.list(first - 0x90, depth)
    if (first >= 0xcc && first <= 0xcf) return small(this.number(2 ** (first - 0xcc)))
    if (first >= 0xd0 && first <= 0xd3) {
      const size = 2 ** (first - 0xd0)
      return small(BigInt.asIntN(8 * size, this.number(size)))
    }
    if (first >= 0xc4 && first <= 0xc6) return this.take(Number(this.number(2 ** (first - 0xc4)))).slice()
    if (first >= 0xd9 && first <= 0xdb) return this.text(Number(this.number(2 ** (first - 0xd9))))
    if (first === 0xdc || first === 0xdd) return this.list(Number(this.number(first === 0xdc ? 2 : 4)), depth)
    if (first === 0xc0) return null
    if (first === 0xc2) return false
    if (first === 0xc3) return true
    throw new ProtocolError('not_canonical', `a value begins with byte ${first}`)
  }
}

function small (value) {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
