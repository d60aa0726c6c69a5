// A provider whose model repeats what it was told, a word a token: docs/protocol.md, sections 9 to 12.

import { credits, idsDigest, textDigest } from './billing.mjs'
import { encode, equal } from './canonical.mjs'
import { ProtocolError } from './errors.mjs'
import { Frames, ON_ANY } from './frames.mjs'
import { JOB_PROTOCOL, OPENING_BYTES } from './job_frames.mjs'
import { digestOf, open, seal } from './signed.mjs'
import { Talk } from './talk.mjs'

const SECONDS = { offer: 10, patience: 600, countersignature: 15, ack: 10 }
const PAUSE_MS = 20
const BEYOND_ACK = 256

// The model as it is advertised, in signing order.
export const CARD = ['echo', new Uint8Array(32).fill(0xec), 'echo', 0, 'none', 4096, [], 100_000, 25_000, 400_000, 50, 1000]
const PRICES = { prompt: CARD[7], cached: CARD[8], completion: CARD[9] }

export class Provider {
  // `served(what)` is called at the end of each job.
  constructor (peer, served) {
    this.peer = peer
    this.served = served
    this.seq = 0
    this.previous = new Uint8Array(32)
  }

  async start () {
    await this.peer.node.handle(JOB_PROTOCOL, async (stream, connection) => {
      const frames = new Frames(stream, OPENING_BYTES)
      const talk = new Talk(frames, 'provider')
      try {
        this.served(await this.converse(talk, connection.remotePeer.toString()))
      } catch (error) {
        const told = error instanceof ProtocolError && !['START', 'ENDED'].includes(talk.state)
        if (told) await talk.send('error', error.code, error.message, '', '').catch(() => {})
        this.served({ outcome: error.code ?? error.message })
      }
      await frames.close()
    }, ON_ANY)
  }

  async converse (talk, coordinator) {
    const raw = (await talk.next(SECONDS.offer)).envelope
    const offer = open('offer', raw, this.peer.network).fields
    const accepted = Date.now()
    if (offer.coordinator !== coordinator || offer.provider !== this.peer.peerId) throw new ProtocolError('bad_request', 'not for us')
    if (!equal(offer.model_digest, CARD[1])) throw new ProtocolError('no_provider', 'not our model')
    if (!equal(encode(Object.values(offer.prices)), encode(Object.values(PRICES)))) {
      await talk.send('busy', 'prices', 1, 0, 0)
      return { outcome: 'busy' }
    }
    await talk.send('accept', CARD[0], '')
    const answer = { ids: [], text: '', reason: 'stop', prompt: 0, first: 0, acked: 0 }
    const said = this.listen(talk, digestOf(raw), answer) // a cancel, or the answer to the receipt
    await this.answer(talk, offer, answer, said)
    await talk.send('finished', answer.reason, answer.prompt, 0, answer.ids.length)
    const receipt = this.receipt(offer, answer, accepted)
    await talk.send('receipt', receipt.envelope)
    return await this.settle(talk, offer, receipt, await said)
  }

  // The first frame that is no acknowledgement; those are held against what was sent.
  async listen (talk, offerDigest, answer) {
    for (;;) {
      const frame = await talk.next(SECONDS.patience)
      if (frame.name !== 'ack') return frame
      const { tokens, ids_digest: ids, offer_digest: about } = open('acknowledgement', frame.envelope, this.peer.network).fields
      if (!equal(about, offerDigest) || !equal(ids, idsDigest(answer.ids.slice(0, Number(tokens))))) {
        throw new ProtocolError('bad_request', 'not what was sent')
      }
      answer.acked = Math.max(answer.acked, Number(tokens))
    }
  }

  // Sends the words of the last message one by one, until they end, are enough, or nobody wants more.
  async answer (talk, offer, answer, said) {
    const [messages, maxTokens] = offer.request
    const words = messages.at(-1)[1].split(/(?<= )/)
    answer.prompt = words.length
    let wanted = true
    said.then(() => { wanted = false }, () => { wanted = false })
    await talk.send('prefill', answer.prompt, 0)
    for (const [at, word] of words.entries()) {
      if (!wanted) answer.reason = 'cancelled'
      else if (at === maxTokens) answer.reason = 'length'
      if (answer.reason !== 'stop') break
      for (let waited = 0; wanted && answer.ids.length - answer.acked >= BEYOND_ACK; waited += PAUSE_MS) {
        if (waited > SECONDS.ack * 1000) throw new ProtocolError('provider_failed', 'no acknowledgement came')
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
      answer.first ||= Date.now()
      answer.ids.push(at)
      answer.text += word
      await talk.send('tokens', [at], word, [])
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  receipt (offer, answer, accepted) {
    const counted = { prompt_tokens: answer.prompt, cached_tokens: 0, completion_tokens: answer.ids.length }
    this.seq += 1
    const receipt = seal('receipt', [
      offer.network, offer.request_id, offer.part, offer.coordinator, offer.provider, CARD[0], CARD[1], CARD[4],
      digestOf(new Uint8Array(0)), ['echo/1', digestOf(encode(offer.request[3]))], offer.seed,
      digestOf(encode(offer.request)), offer.transformed, answer.prompt, 0, answer.ids.length, idsDigest(answer.ids),
      textDigest(answer.text), answer.reason, Object.values(PRICES), credits(PRICES, counted), accepted, answer.first,
      Date.now(), this.seq, this.previous
    ], this.peer.identity)
    this.previous = receipt.digest
    return { ...receipt, credits: credits(PRICES, counted), reason: answer.reason }
  }

  async settle (talk, offer, receipt, said) {
    let frame = said
    while (frame.name === 'cancel') frame = await talk.next(SECONDS.countersignature)
    if (frame.name === 'error') return { outcome: 'refused', code: frame.code, request_id: offer.request_id }
    const made = open('countersignature', frame.envelope, offer.network).fields
    const ours = made.coordinator === offer.coordinator && made.provider === offer.provider
    if (!ours || !equal(made.receipt_digest, receipt.digest) || made.cumulative < receipt.credits) {
      throw new ProtocolError('bad_request', 'the countersignature is not for this receipt')
    }
    await talk.send('end')
    const { credits, reason } = receipt
    return { outcome: 'paid', request_id: offer.request_id, reason, credits, cumulative: made.cumulative }
  }
}
