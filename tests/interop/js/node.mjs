// The test's program: joins, advertises, runs jobs on the first provider it learns of, tells as JSON lines what it saw.
// Takes its settings as one JSON argument: network, join, listen, seed (hex), model, others (peer ids to wait for),
// shared_key (hex, for a private network), and a prompt for its own round of jobs, or a request (its canonical list) to
// order so many times, or provides to run jobs itself.

import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { peerIdFromString } from '@libp2p/peer-id'
import { maxCredits } from './billing.mjs'
import { Accounts, runJob } from './job.mjs'
import { Peer } from './peer.mjs'
import { CARD, Provider } from './provider.mjs'

const settings = JSON.parse(process.argv[2])
const PATIENCE_MS = 120_000

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const tell = (event, what = {}) => console.log(JSON.stringify({ event, ...what }, (_, value) => typeof value === 'bigint' ? Number(value) : value))

// Looks again whenever the table has changed.
class Watch {
  waiting = []

  changed () {
    for (const look of this.waiting) look()
  }

  async until (condition, what) {
    let timer
    try {
      return await new Promise((resolve, reject) => {
        const look = () => {
          const found = condition()
          if (found) resolve(found)
        }
        timer = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE_MS / 1000} s`)), PATIENCE_MS)
        this.waiting.push(look)
        look()
      })
    } finally {
      clearTimeout(timer)
    }
  }
}

const chat = (prompt, maxTokens) => [
  [['user', prompt, '', '', [], []]], maxTokens, [], [0, 1_000_000, 0, 0, 0, 0, 0, 1_000_000, []], null,
  ['text', ''], [], 'none', true, '', false, false
]

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

function requestId () {
  let number = (BigInt(Date.now()) << 80n) | BigInt(`0x${hex(randomBytes(10))}`)
  let ulid = ''
  for (let count = 0; count < 26; count++) {
    ulid = CROCKFORD[Number(number & 31n)] + ulid
    number >>= 5n
  }
  return `req_${ulid}`
}

function offerTo (provider, card, coordinator, request) {
  return {
    network: settings.network,
    request_id: requestId(),
    part: 0,
    coordinator,
    provider,
    model_digest: card.digest,
    request,
    seed: BigInt(`0x${hex(randomBytes(8))}`) >> 1n,
    max_credits: maxCredits(card, request[1]),
    prices: { prompt: card.price_prompt, cached: card.price_cached, completion: card.price_completion },
    deadline_ms: 60_000,
    continue_from: [],
    transformed: false
  }
}

function summary (job, offer) {
  const { outcome, answer, reasons, got, receipt, checks, countersignature } = job
  return {
    outcome,
    answer,
    reasons,
    request_id: offer.request_id,
    text: got?.text,
    tokens: got?.ids.length,
    frames: got?.frames,
    checks,
    receipt: receipt && { digest: hex(receipt.digest), envelope: hex(receipt.envelope), ...plain(receipt.fields) },
    countersignature: countersignature && hex(countersignature.envelope),
    cumulative: countersignature?.total
  }
}

const plain = (fields) => JSON.parse(JSON.stringify(fields, (_, value) =>
  value instanceof Uint8Array ? hex(value) : typeof value === 'bigint' ? value.toString() : value))

async function main () {
  const watch = new Watch()
  const peer = await Peer.start({
    seed: Buffer.from(settings.seed, 'hex'),
    network: settings.network,
    listen: settings.listen,
    sharedKey: settings.shared_key,
    models: settings.provides ? [CARD] : [],
    changed: (kind, advert) => {
      tell(`peer_${kind}`, { peer: advert.peer, models: advert.models.map((model) => model.id) })
      watch.changed()
    },
    refused: (by, error) => tell('advert_refused', { by, code: error.code })
  })
  tell('listening', { peer_id: peer.peerId, addresses: peer.node.getMultiaddrs().map(String) })
  if (settings.provides) await new Provider(peer, (what) => tell('served', what)).start()
  await peer.join(settings.join)
  await peer.advertise()
  if (!settings.provides) await order(peer, watch)
  tell('waiting', { addresses: peer.node.getMultiaddrs().map(String) })
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'depart') await peer.depart()
    if (line === 'stop') break
  }
  await peer.stop()
  tell('stopped')
  process.exit(0)
}

async function order (peer, watch) {
  const offering = () => [...peer.table.live().values()].find((advert) => advert.models.some((model) => model.id === settings.model))
  const provider = await watch.until(offering, 'advert with the model')
  await watch.until(() => settings.others.every((other) => peer.table.live().has(other)), 'advert of the others')
  tell('adverts', { peers: [...peer.table.live().keys()] })

  const card = provider.models.find((model) => model.id === settings.model)
  const accounts = new Accounts(peer.identity, settings.network)
  const run = async (event, offer, cancelAfter) => {
    const job = await runJob(peer.node, peerIdFromString(provider.peer), peer.identity, accounts, offer, card, cancelAfter)
    tell(event, summary(job, offer))
  }
  const offer = (request) => offerTo(provider.peer, card, peer.peerId, request)

  if (settings.request) {
    for (let count = 0; count < settings.times; count++) await run('job', offer(settings.request))
  } else {
    const request = chat(settings.prompt, 24)
    await run('job', offer(request))
    await run('cancelled', offer(chat('Write a very long story about a river.', 1500)), 4)
    await run('dear', { ...offer(request), prices: { prompt: 1n << 40n, cached: 0, completion: 0 } })
    await run('elsewhere', { ...offer(request), network: 'another' })
    await run('nonsense', { ...offer(request), request: ['nonsense'] })
  }
}

main().catch((error) => {
  tell('failed', { error: error.stack })
  process.exit(1)
})
