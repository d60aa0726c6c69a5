// What a receipt must say: docs/protocol.md, section 11.

import { encode, equal } from './canonical.mjs'
import { digestOf } from './signed.mjs'

const utf8 = new TextEncoder()

export function credits (prices, receipt, embedded = false) {
  if (Number(receipt.completion_tokens) === 0 && !embedded) return 0n
  const [prompt, cached, completion] = ['prompt_tokens', 'cached_tokens', 'completion_tokens'].map((name) => BigInt(receipt[name]))
  const total = (prompt - cached) * BigInt(prices.prompt) + cached * BigInt(prices.cached) + completion * BigInt(prices.completion)
  return (total + 999_999n) / 1_000_000n
}

export const maxCredits = (card, maxTokens) => {
  const context = BigInt(card.context_length)
  const dearest = [card.price_prompt, card.price_cached].map(BigInt).reduce((one, other) => one > other ? one : other)
  const completion = BigInt(maxTokens) < context ? BigInt(maxTokens) : context
  return (context * dearest + completion * BigInt(card.price_completion) + 999_999n) / 1_000_000n
}

export const textDigest = (text) => digestOf(utf8.encode(text))
export const idsDigest = (ids) => digestOf(encode(ids))

const same = (one, other) => equal(encode(one), encode(other))

// Every check of a receipt by name, against the offer, the model's card and what arrived; true where it holds.
export function receiptChecks (receipt, offer, card, got) {
  const maxTokens = offer.request[1] ?? card.context_length
  const timed = receipt.completion_tokens === 0 && receipt.first_token_ms === 0
    ? receipt.accepted_ms <= receipt.finished_ms
    : receipt.accepted_ms <= receipt.first_token_ms && receipt.first_token_ms <= receipt.finished_ms
  return {
    network: receipt.network === offer.network,
    request_id: receipt.request_id === offer.request_id,
    part: receipt.part === offer.part,
    coordinator: receipt.coordinator === offer.coordinator,
    provider: receipt.provider === offer.provider,
    model_id: receipt.model_id === card.id,
    model_digest: same(receipt.model_digest, offer.model_digest),
    quantization: receipt.quantization === card.quantization,
    sampling: same(receipt.sampler.parameters, digestOf(encode(offer.request[3]))),
    seed: BigInt(receipt.seed) === BigInt(offer.seed),
    request_digest: same(receipt.request_digest, digestOf(encode(offer.request))),
    transformed: receipt.transformed === offer.transformed,
    cached_tokens: receipt.cached_tokens <= receipt.prompt_tokens,
    prompt_tokens: receipt.prompt_tokens > 0 && receipt.prompt_tokens <= card.context_length,
    completion_tokens: receipt.completion_tokens === got.ids.length && got.ids.length <= maxTokens,
    output_ids: same(receipt.output_ids_digest, idsDigest(got.ids)),
    text: same(receipt.text_digest, textDigest(got.text)),
    finish_reason: receipt.finish_reason === got.reason && ['stop', 'length', 'cancelled', 'error'].includes(got.reason),
    prices: same(Object.values(receipt.prices), Object.values(offer.prices)),
    credits: BigInt(receipt.credits) === credits(offer.prices, receipt),
    max_credits: receipt.credits <= offer.max_credits,
    times: timed
  }
}
