// Signed bodies: docs/protocol.md, section 4.

import { blake2b } from '@noble/hashes/blake2.js'
import { concat, decode, encode } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { verify } from './identity.mjs'
import { BODIES, octets, record } from './schema.mjs'

export const digestOf = (raw) => blake2b(raw, { dkLen: 32 })

export function signedBytes (kind, body) {
  return concat([new TextEncoder().encode(`peernode/${kind}/1\0`), body])
}

// The fields as a list in signing order; gives what travels, and its digest.
export function seal (kind, fields, identity) {
  const body = encode(fields)
  const bytes = signedBytes(kind, body)
  return { envelope: encode([body, identity.sign(bytes)]), digest: digestOf(bytes) }
}

// An envelope from the wire: its checked fields by name, its digest and the bytes themselves.
export function open (kind, raw, network) {
  const { signer, most, read } = BODIES[kind]
  const outer = record({ body: octets(0, most), signature: octets(64) })(decode(raw, most))
  const inner = decode(outer.body, most)
  const fields = read(inner)
  if (network !== undefined && fields.network !== network) throw new ProtocolError('wrong_network', fields.network)
  const bytes = signedBytes(kind, outer.body)
  verify(fields[signer], bytes, outer.signature)
  return { fields, list: inner, digest: digestOf(bytes), envelope: raw }
}
