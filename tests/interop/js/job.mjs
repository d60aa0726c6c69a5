// A job as its coordinator: docs/protocol.md, sections 9 to 12.

import { idsDigest, receiptChecks, textDigest } from './billing.mjs'
import { ProtocolError } from './errors.mjs'
import { Frames, ON_ANY } from './frames.mjs'
import { JOB_PROTOCOL } from './job_frames.mjs'
import { digestOf, open, seal } from './signed.mjs'
import { Talk } from './talk.mjs'

const SECONDS = { accept: 10, firstTokens: 60, tokens: 30, receipt: 10, end: 5 }
const ACK_EVERY = 128

// What this coordinator owes each provider, and its word on it.
export class Accounts {
  constructor (identity, network) {
    this.identity = identity
    this.network = network
    this.totals = new Map()
  }

  countersign (receipt) {
    const { provider, coordinator, credits } = receipt.fields
    const total = (this.totals.get(provider) ?? 0n) + BigInt(credits)
    this.totals.set(provider, total)
    const fields = [this.network, coordinator, provider, receipt.digest, total, Date.now()]
    return { ...seal('countersignature', fields, this.identity), total }
  }
}

// Runs one job on the provider; `offer` is an object of its fields in signing order. Cancels after so many tokens.
export async function runJob (node, peer, identity, accounts, offer, card, cancelAfter = Infinity) {
  const frames = new Frames(await node.dialProtocol(peer, JOB_PROTOCOL, ON_ANY))
  try {
    return await converse(new Talk(frames, 'coordinator'), identity, accounts, offer, card, cancelAfter)
  } finally {
    await frames.close()
  }
}

async function converse (talk, identity, accounts, offer, card, cancelAfter) {
  const fields = { ...offer, prices: Object.values(offer.prices) }
  const { envelope } = seal('offer', Object.values(fields), identity)
  const acknowledged = (got) => seal('acknowledgement', [
    offer.network, offer.request_id, offer.part, offer.coordinator, offer.provider, digestOf(envelope), got.prompt,
    got.cached, got.ids.length, idsDigest(got.ids), textDigest(got.text), Date.now()
  ], identity).envelope
  await talk.send('offer', envelope)
  let answer = await talk.next(SECONDS.accept)
  while (answer.name === 'wait') answer = await talk.next(SECONDS.firstTokens)
  if (answer.name !== 'accept') return { outcome: answer.name, answer }
  const got = await collect(talk, cancelAfter, acknowledged)
  if (got.error) return { outcome: 'error', answer: got.error }
  const frame = await talk.next(SECONDS.receipt)
  if (frame.name !== 'receipt') return { outcome: frame.name, answer: frame }
  let receipt
  try {
    receipt = open('receipt', frame.envelope, offer.network)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return await refuse(talk, [error.code])
  }
  const checks = receiptChecks(receipt.fields, offer, card, got)
  const failed = Object.keys(checks).filter((name) => !checks[name])
  if (failed.length > 0) return await refuse(talk, failed)
  const countersignature = accounts.countersign(receipt)
  await talk.send('countersign', countersignature.envelope)
  // Both signatures are here whether or not the provider confirms.
  const end = await talk.next(SECONDS.end).catch(() => ({ name: 'unconfirmed' }))
  return { outcome: end.name, markup: answer.markup, got, receipt, checks, countersignature }
}

async function refuse (talk, reasons) {
  await talk.send('error', 'receipt_refused', `The receipt does not match the job: ${reasons.join(', ')}.`, '', '')
  return { outcome: 'receipt_refused', reasons }
}

async function collect (talk, cancelAfter, acknowledged) {
  const got = { ids: [], text: '', reason: '', frames: 0, prompt: 0, cached: 0 }
  let cancelled = false
  let told = 0
  for (;;) {
    const frame = await talk.next(got.frames > 0 ? SECONDS.tokens : SECONDS.firstTokens)
    if (frame.name === 'error') return { error: frame }
    if (frame.name === 'finished') return { ...got, reason: frame.reason }
    if (frame.name === 'wait') continue
    if (frame.name === 'prefill') {
      got.prompt = frame.prompt_tokens
      got.cached = frame.cached_tokens
      continue
    }
    got.ids.push(...frame.ids)
    got.text += frame.text
    got.frames += 1
    if (got.ids.length - told >= ACK_EVERY) {
      told = got.ids.length
      await talk.send('ack', acknowledged(got))
    }
    if (!cancelled && got.ids.length >= cancelAfter) {
      cancelled = true
      await talk.send('cancel')
    }
  }
}
