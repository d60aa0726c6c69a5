// Reads lines of a kind and bytes in hex, separated by a space; prints for each `ok` or the code of the error.

import { createInterface } from 'node:readline'
import { decode } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { decodeFrame } from './job_frames.mjs'
import { open } from './signed.mjs'

const READERS = { canonical: decode, frame: decodeFrame }
const verdicts = []
for await (const line of createInterface({ input: process.stdin })) {
  const [kind, hex] = line.split(' ')
  try {
    const raw = Uint8Array.from(Buffer.from(hex, 'hex'))
    if (kind in READERS) READERS[kind](raw)
    else open(kind, raw, ['receipt', 'countersignature'].includes(kind) ? undefined : 'vectors')
    verdicts.push('ok')
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    verdicts.push(error.code)
  }
}
console.log(verdicts.join('\n'))
