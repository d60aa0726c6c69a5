// Identities: docs/protocol.md, section 1.

import { ed25519 } from '@noble/curves/ed25519.js'
import { base58btc } from 'multiformats/bases/base58'
import { concat } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'

const PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

export class Identity {
  constructor (seed) {
    this.seed = seed
    this.publicKey = ed25519.getPublicKey(seed)
    this.peerId = peerIdOf(this.publicKey)
  }

  sign (message) {
    return ed25519.sign(message, this.seed)
  }
}

export function peerIdOf (publicKey) {
  return base58btc.baseEncode(concat([PREFIX, publicKey]))
}

export function publicKeyOf (peerId) {
  let raw
  try {
    raw = base58btc.baseDecode(peerId)
  } catch {
    throw new ProtocolError('bad_peer_id', 'not base58')
  }
  if (raw.length !== 38 || PREFIX.some((byte, at) => raw[at] !== byte)) {
    throw new ProtocolError('bad_peer_id', 'not an ed25519 peer id')
  }
  if (base58btc.baseEncode(raw) !== peerId) throw new ProtocolError('bad_peer_id', 'not the one text of it')
  return raw.subarray(6)
}

export function verify (peerId, message, signature) {
  const key = publicKeyOf(peerId)
  let good = false
  try {
    good = ed25519.verify(signature, message, key, { zip215: false }) // strict: no keys of small order
  } catch {
    // a key or signature that is no point of the curve
  }
  if (!good) throw new ProtocolError('bad_signature', `not by ${peerId}`)
}
