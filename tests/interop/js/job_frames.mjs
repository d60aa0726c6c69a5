// Frames of a job and who may send which when: docs/protocol.md, section 9.

import { decode, encode } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { JOB_FRAMES, integer, record } from './schema.mjs'

export const JOB_PROTOCOL = '/peernode/job/1'
export const OPENING_BYTES = 22_020_160
const FRAME_BYTES = 1_048_576

const TYPES = Object.fromEntries(Object.entries(JOB_FRAMES).map(([type, { name }]) => [name, Number(type)]))

export function encodeFrame (name, ...fields) {
  return encode([TYPES[name], ...fields])
}

export function decodeFrame (raw) {
  const offers = raw.length > 1 && raw[0] === 0x92 && raw[1] === TYPES.offer
  const value = decode(raw, offers ? OPENING_BYTES : FRAME_BYTES)
  if (!Array.isArray(value) || value.length === 0) throw new ProtocolError('bad_schema', 'a frame without a type')
  const known = JOB_FRAMES[integer()(value[0])]
  if (known === undefined) throw new ProtocolError('bad_schema', `a frame of type ${value[0]}`)
  const fields = record(known.read)(value.slice(1))
  if (known.name === 'tokens' && fields.logprobs.length > 0) {
    const chosen = fields.logprobs.map((entry) => entry.chosen.id)
    if (chosen.length !== fields.ids.length || chosen.some((id, at) => id !== fields.ids[at])) {
      throw new ProtocolError('bad_schema', 'log-probabilities of other tokens')
    }
  }
  return { name: known.name, ...fields }
}

const MOVES = {
  'START coordinator offer': 'OFFERED',
  'OFFERED provider accept': 'RUNNING',
  'OFFERED provider busy': 'ENDED',
  'RUNNING provider tokens': 'RUNNING',
  'RUNNING provider finished': 'FINISHED',
  'FINISHED provider receipt': 'RECEIPTED',
  'RECEIPTED coordinator countersign': 'COUNTERSIGNED',
  'COUNTERSIGNED provider end': 'ENDED'
}

export class Conversation {
  state = 'START'
  prefilled = false

  observe (speaker, name) {
    if (name === 'error' && this.state !== 'START' && this.state !== 'ENDED') {
      this.state = 'ENDED'
      return
    }
    const cancellable = ['OFFERED', 'RUNNING', 'FINISHED', 'RECEIPTED'].includes(this.state)
    if (name === 'cancel' && speaker === 'coordinator' && cancellable) return
    if (name === 'ack' && speaker === 'coordinator' && cancellable && this.state !== 'OFFERED') return
    const waiting = this.state === 'OFFERED' || (this.state === 'RUNNING' && !this.prefilled)
    if (name === 'wait' && speaker === 'provider' && waiting) return
    const telling = name === 'prefill' && speaker === 'provider' && this.state === 'RUNNING' && !this.prefilled
    const after = telling ? this.state : MOVES[`${this.state} ${speaker} ${name}`]
    if (after === undefined) throw new ProtocolError('out_of_turn', `${name} from the ${speaker} in ${this.state}`)
    this.prefilled ||= telling || name === 'tokens'
    this.state = after
  }
}
