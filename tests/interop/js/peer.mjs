// A peernode on js-libp2p: docs/protocol.md, sections 2, 5, 6 and 8.

import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { Frames, ON_ANY } from './frames.mjs'
import { Identity } from './identity.mjs'
import { seal } from './signed.mjs'
import { Sync } from './sync.mjs'
import { Table } from './table.mjs'

const PING_PROTOCOL = '/peernode/ping/1'
const LEASE_MS = 15_000
const RENEW_MS = 5000

export class Peer {
  static async start ({ seed, network, listen, sharedKey, models = [], changed, refused }) {
    const peer = new Peer()
    peer.identity = new Identity(seed)
    peer.network = network
    peer.refused = refused
    peer.topic = `/peernode/${network}/adverts/1`
    peer.seq = 0
    peer.models = models // lists in signing order
    peer.table = new Table(network, changed)
    peer.node = await createLibp2p({
      start: false, // whoever connects finds everything in place
      privateKey: await generateKeyPairFromSeed('Ed25519', seed),
      addresses: { listen: [listen] },
      transports: [tcp(), circuitRelayTransport()],
      ...(sharedKey ? { connectionProtector: preSharedKey({ psk: keyFile(sharedKey) }) } : {}),
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), pubsub: gossipsub({ allowedTopics: [peer.topic], ...ON_ANY }) }
    })
    peer.pubsub = peer.node.services.pubsub
    peer.pubsub.topicValidators.set(peer.topic, (_, message) => peer.judge(message))
    peer.sync = new Sync(peer.node, peer.table, peer.identity.peerId, refused)
    await peer.sync.start()
    await peer.node.handle(PING_PROTOCOL, (stream) => echo(new Frames(stream)), ON_ANY)
    await peer.node.start()
    peer.pubsub.subscribe(peer.topic)
    return peer
  }

  get peerId () {
    return this.identity.peerId
  }

  async join (address) {
    await this.node.dial(multiaddr(address))
  }

  // Once a peer that takes gossip is connected: the first advert, and from then on a renewal every five seconds.
  async advertise () {
    while (this.pubsub.getSubscribers(this.topic).length === 0) {
      await new Promise((resolve) => this.pubsub.addEventListener('subscription-change', resolve, { once: true }))
    }
    const advert = this.advert(LEASE_MS)
    await this.pubsub.publish(this.topic, advert.envelope)
    this.renewing = setInterval(() => this.renew(advert.digest.slice(0, 16)), RENEW_MS)
  }

  async depart () {
    clearInterval(this.renewing)
    await this.pubsub.publish(this.topic, this.advert(0).envelope)
  }

  async stop () {
    clearInterval(this.renewing)
    await this.node.stop()
  }

  advert (leaseMs) {
    const now = this.number()
    const models = leaseMs > 0 ? this.models : []
    const slots = models.length
    const addresses = this.node.getMultiaddrs().map(String)
    const fields = [
      this.network, this.peerId, this.seq, now, leaseMs, addresses, 'interop', slots, slots, 0, models, [0, new Uint8Array(0)]
    ]
    const advert = seal('advert', fields, this.identity)
    this.table.takeAdvert(advert.envelope)
    this.sync.news()
    return advert
  }

  renew (advertDigest) {
    const now = this.number()
    const fields = [this.network, this.peerId, this.seq, now, LEASE_MS, this.models.length, 0, advertDigest]
    this.table.takeRenewal(seal('renewal', fields, this.identity).envelope)
    this.sync.news()
  }

  number () {
    const now = Date.now()
    this.seq = Math.max(this.seq + 1, now)
    return now
  }

  // The verdict on a gossiped advert, which is taken in when it is good.
  judge (message) {
    const originator = message.from.toString()
    try {
      this.table.takeAdvert(message.data)
    } catch (error) {
      this.refused(originator, error)
      return 'reject'
    }
    const newest = this.table.entries.get(originator)?.advert.envelope
    return newest !== undefined && Buffer.compare(newest, message.data) === 0 ? 'accept' : 'ignore'
  }
}

// A key as js-libp2p wants it: 64 hexadecimal digits, in the form of other programs' key files.
function keyFile (digits) {
  return new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${digits}`)
}

// Until the other side ends the stream.
async function echo (frames) {
  try {
    for (;;) await frames.send(await frames.next(30))
  } catch {
    await frames.close()
  }
}
