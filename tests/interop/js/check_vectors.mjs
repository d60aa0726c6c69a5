// Holds this implementation against docs/vectors (the folder is its argument); prints how many of each it checked.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { credits, textDigest } from './billing.mjs'
import { decode, encode } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { Identity, publicKeyOf } from './identity.mjs'
import { decodeFrame } from './job_frames.mjs'
import { checkConsistency, checkInclusion, leafHash } from './merkle.mjs'
import { openProof } from './proof.mjs'
import { digestOf, open, seal, signedBytes } from './signed.mjs'

const folder = process.argv[2]
const load = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'))
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'hex'))

function fromJson (value) {
  if (Array.isArray(value)) return value.map(fromJson)
  if (value === null || typeof value !== 'object') return value
  return 'hex' in value ? bytes(value.hex) : BigInt(value.int)
}

const people = Object.fromEntries(load('identity.json').map((entry) => {
  const who = new Identity(bytes(entry.seed))
  assert.equal(who.peerId, entry.peer_id)
  assert.equal(hex(publicKeyOf(entry.peer_id)), entry.public_key)
  return [entry.name, who]
}))

function canonical (entries) {
  for (const { value, hex: wanted } of entries) {
    assert.equal(hex(encode(fromJson(value))), wanted)
    assert.deepEqual(decode(bytes(wanted)), fromJson(value))
  }
}

function digests (entries) {
  for (const entry of entries) {
    const digest = 'text' in entry ? textDigest(entry.text) : digestOf(encode(fromJson(entry.value)))
    assert.equal(hex(digest), entry.digest, entry.what)
  }
}

function bills (entries) {
  for (const entry of entries) {
    const [prompt, cached, completion] = entry.prices
    assert.equal(credits({ prompt, cached, completion }, entry, entry.embedded), BigInt(fromJson(entry.credits)))
  }
}

function signed (entry) {
  const list = fromJson(Object.values(entry.fields))
  const made = seal(entry.kind, list, people[entry.signer])
  assert.equal(hex(encode(list)), entry.body)
  assert.equal(hex(signedBytes(entry.kind, encode(list))), entry.signed_bytes)
  assert.equal(hex(made.envelope), entry.envelope)
  assert.equal(hex(made.digest), entry.digest)
  const opened = open(entry.kind, bytes(entry.envelope), 'vectors')
  assert.deepEqual(Object.keys(opened.fields), Object.keys(entry.fields))
  assert.equal(hex(opened.digest), entry.digest)
}

function frames (entries) {
  for (const entry of entries) {
    assert.equal(hex(encode(fromJson(entry.fields))), entry.payload)
    assert.ok(decodeFrame(bytes(entry.payload)).name.startsWith(entry.frame))
  }
}

function merkle ({ entries, roots, inclusion, consistency }) {
  const root = (size) => bytes(roots[size])
  for (const { index, size, path } of inclusion) {
    checkInclusion(leafHash(bytes(entries[index])), index, size, path.map(bytes), root(size))
  }
  for (const { old, new: now, path } of consistency) checkConsistency(old, now, path.map(bytes), root(old), root(now))
}

function proofs (entries) {
  for (const { kind, hex: raw } of entries) assert.equal(openProof(bytes(raw)).kind, kind)
}

function refused (entries) {
  for (const entry of entries) {
    const raw = bytes(entry.hex)
    const read = {
      canonical: () => decode(raw),
      proof: () => openProof(raw),
      'job frame': () => decodeFrame(raw)
    }[entry.read_as] ?? (() => open(entry.read_as, raw, entry.network))
    assert.throws(read, (error) => error instanceof ProtocolError && error.code === entry.code, `${entry.read_as}: ${entry.why}`)
  }
}

const CHECKS = { 'canonical.json': canonical, 'digests.json': digests, 'credits.json': bills, 'job_frames.json': frames, 'merkle.json': merkle, 'proofs.json': proofs, 'refused.json': refused }
const counts = {}
for (const name of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
  const entries = load(name)
  if (name !== 'identity.json') (CHECKS[name] ?? signed)(entries)
  counts[name] = Array.isArray(entries) ? entries.length : 1
}
console.log(JSON.stringify(counts))
