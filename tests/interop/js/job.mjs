// A job as its coordinator: docs/protocol.md, sections 9 to 12.

import { receiptChecks } from './billing.mjs'
import { ProtocolError } from './errors.mjs'
import { Frames, ON_ANY } from './frames.mjs'
import { JOB_PROTOCOL } from './job_frames.mjs'
import { open, seal } from './signed.mjs'
import { Talk } from './talk.mjs'

const SECONDS = { accept: 10, firstTokens: 60, tokens: 30, receipt: 10, end: 5 }

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
  await talk.send('offer', seal('offer', Object.values(fields), identity).envelope)
  const answer = await talk.next(SECONDS.accept)
  if (answer.name !== 'accept') return { outcome: answer.name, answer }
  const got = await collect(talk, cancelAfter)
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

async function collect (talk, cancelAfter) {
  const got = { ids: [], text: '', reason: '', frames: 0 }
  let cancelled = false
  for (;;) {
    const frame = await talk.next(got.frames > 0 ? SECONDS.tokens : SECONDS.firstTokens)
    if (frame.name === 'error') return { error: frame }
    if (frame.name === 'finished') return { ...got, reason: frame.reason }
    got.ids.push(...frame.ids)
    got.text += frame.text
    got.frames += 1
    if (!cancelled && got.ids.length >= cancelAfter) {
      cancelled = true
      await talk.send('cancel')
    }
  }
}
