// The fields of every signed body and frame, with their bounds: the tables of docs/protocol.md.

import { ProtocolError } from './errors.mjs'

const MOST = (1n << 63n) - 1n
const TOKEN = 2 ** 31 - 1

function bad (why) {
  throw new ProtocolError('bad_schema', why)
}

export const integer = (least = 0, most = MOST) => (value) => {
  if (typeof value !== 'number' && typeof value !== 'bigint') bad('not an integer')
  if (value < least || value > most) bad(`${value} is not within ${least} … ${most}`)
  return value
}

export const text = (least = 0, most = 256) => (value) => {
  if (typeof value !== 'string') bad('not text')
  const length = [...value].length // code points
  if (length < least || length > most) bad(`${length} characters of ${least} … ${most}`)
  return value
}

export const octets = (least, most = least) => (value) => {
  if (!(value instanceof Uint8Array)) bad('not bytes')
  if (value.length < least || value.length > most) bad(`${value.length} bytes of ${least} … ${most}`)
  return value
}

export const boolean = (value) => typeof value === 'boolean' ? value : bad('not a truth value')

export const anything = (value) => value

export const list = (item, most) => (value) => {
  if (!Array.isArray(value)) bad('not a list')
  if (value.length > most) bad(`${value.length} entries of ${most}`)
  return value.map(item)
}

// An object of the named fields, which stand in a list in this order.
export const record = (fields) => (value) => {
  const names = Object.keys(fields)
  if (!Array.isArray(value)) bad('not a list')
  if (value.length !== names.length) bad(`${value.length} fields, not ${names.length}`)
  return Object.fromEntries(names.map((name, at) => [name, fields[name](value[at])]))
}

const network = text(1, 64)
const peer = text(0, 64)
const digest = octets(32)
export const prices = record({ prompt: integer(), cached: integer(), completion: integer() })
const tokenId = integer(0, TOKEN)

const unlike = (read, name) => (value) => {
  const items = read(value)
  if (new Set(items.map((item) => item[name])).size !== items.length) bad(`one ${name} twice`)
  return items
}

const model = record({
  id: text(1),
  digest,
  architecture: text(0, 64),
  parameters: integer(),
  quantization: text(0, 64),
  context_length: integer(1),
  features: list(text(0, 1024), 32),
  price_prompt: integer(),
  price_cached: integer(),
  price_completion: integer(),
  decode_tps: integer(),
  prefill_tps: integer()
})

const settled = (read) => (value) => {
  const note = read(value)
  if (note.amount > note.settled) bad('more than all notes together')
  if (note.creditor === note.debtor) bad('between one peer')
  return note
}

export const BODIES = {
  advert: {
    signer: 'peer',
    most: 65_536,
    read: record({
      network,
      peer,
      seq: integer(1),
      issued_ms: integer(),
      lease_ms: integer(0, 300_000),
      addresses: list(text(0, 1024), 16),
      version: text(0, 64),
      slots: integer(0, 65_536),
      free_slots: integer(0, 65_536),
      queued: integer(0, 1_048_576),
      models: unlike(list(model, 64), 'id'),
      receipts_log: record({ size: integer(), root: octets(0, 32) })
    })
  },
  renewal: {
    signer: 'peer',
    most: 512,
    read: record({
      network,
      peer,
      seq: integer(1),
      issued_ms: integer(),
      lease_ms: integer(1, 300_000),
      free_slots: integer(0, 65_536),
      queued: integer(0, 1_048_576),
      advert: octets(16)
    })
  },
  offer: {
    signer: 'coordinator',
    most: 22_020_096,
    read: record({
      network,
      request_id: text(1, 64),
      part: integer(0, 65_536),
      coordinator: peer,
      provider: peer,
      model_digest: digest,
      request: anything,
      seed: integer(),
      max_credits: integer(),
      prices,
      deadline_ms: integer(0, 86_400_000),
      continue_from: list(tokenId, 131_072),
      transformed: boolean
    })
  },
  receipt: {
    signer: 'provider',
    most: 16_384,
    read: record({
      network,
      request_id: text(1, 64),
      part: integer(0, 65_536),
      coordinator: peer,
      provider: peer,
      model_id: text(1),
      model_digest: digest,
      quantization: text(0, 64),
      template_digest: digest,
      sampler: record({ version: text(0, 64), parameters: digest }),
      seed: integer(),
      request_digest: digest,
      transformed: boolean,
      prompt_tokens: integer(),
      cached_tokens: integer(),
      completion_tokens: integer(),
      output_ids_digest: digest,
      text_digest: digest,
      finish_reason: text(0, 32),
      prices,
      credits: integer(),
      accepted_ms: integer(),
      first_token_ms: integer(),
      finished_ms: integer(),
      seq: integer(1),
      previous: digest
    })
  },
  countersignature: {
    signer: 'coordinator',
    most: 2048,
    read: record({
      network,
      coordinator: peer,
      provider: peer,
      receipt_digest: digest,
      cumulative: integer(),
      at_ms: integer()
    })
  },
  checkpoint: {
    signer: 'peer',
    most: 512,
    read: record({ network, peer, size: integer(1), root: digest, at_ms: integer() })
  },
  settlement: {
    signer: 'creditor',
    most: 2048,
    read: settled(record({
      network,
      creditor: peer,
      debtor: peer,
      settled: integer(1),
      amount: integer(1),
      reference: text(0, 256),
      at_ms: integer()
    }))
  },
  acknowledgement: {
    signer: 'coordinator',
    most: 1024,
    read: record({
      network,
      request_id: text(1, 64),
      part: integer(0, 65_536),
      coordinator: peer,
      provider: peer,
      offer_digest: digest,
      prompt_tokens: integer(),
      cached_tokens: integer(),
      tokens: integer(),
      ids_digest: digest,
      text_digest: digest,
      at_ms: integer()
    })
  }
}

const FRAME = 1_048_576
const chance = record({ id: tokenId, millionths: integer(-9_999_000_000, 0), bytes: octets(0, 4096) })
const logprob = record({ chosen: chance, top: list(chance, 20) })

// By the type that comes first in the frame.
export const JOB_FRAMES = {
  1: { name: 'offer', read: { envelope: octets(0, 22_020_096) } },
  2: { name: 'accept', read: { model_id: text(1), markup: text(0, 64) } },
  3: { name: 'busy', read: { reason: text(), free_slots: integer(), queued: integer(), retry_after_ms: integer(0, 86_400_000) } },
  4: { name: 'tokens', read: { ids: list(tokenId, 4096), text: text(0, FRAME), logprobs: list(logprob, 4096) } },
  5: {
    name: 'finished',
    read: { reason: text(0, 32), prompt_tokens: integer(), cached_tokens: integer(), completion_tokens: integer() }
  },
  6: { name: 'receipt', read: { envelope: octets(0, FRAME) } },
  7: { name: 'countersign', read: { envelope: octets(0, FRAME) } },
  8: { name: 'end', read: {} },
  9: { name: 'error', read: { code: text(0, 64), sentence: text(0, 512), param: text(0, 128), cause: text(0, 512) } },
  10: { name: 'cancel', read: {} },
  11: { name: 'prefill', read: { prompt_tokens: integer(), cached_tokens: integer() } },
  12: { name: 'ack', read: { envelope: octets(0, 1024) } },
  13: { name: 'wait', read: { state: text(1, 32), eta_ms: integer(0, 86_400_000) } }
}
