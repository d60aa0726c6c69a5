// Frames on a libp2p stream: docs/protocol.md, section 7.

import { concat } from './canonical.mjs'

export const FRAME_BYTES = 1_048_576

// For streams that may also run through a relay: to js-libp2p a circuit whose relay names limits is another matter.
export const ON_ANY = { runOnLimitedConnection: true }

export class Frames {
  // The first frame may have `opening` bytes if that is more than others may have.
  constructor (stream, opening = FRAME_BYTES) {
    this.stream = stream
    this.most = opening
    this.buffered = new Uint8Array(0)
    this.ready = []
    this.waiting = null
    this.ended = null
    this.pump()
  }

  async send (payload) {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, payload.length)
    if (!this.stream.send(concat([length, payload]))) await this.stream.onDrain()
  }

  // The next frame; rejects at the end of the stream or after so many seconds.
  async next (seconds) {
    if (this.ready.length > 0) return this.ready.shift()
    if (this.ended) throw this.ended
    let timer
    try {
      return await new Promise((resolve, reject) => {
        this.waiting = { resolve, reject }
        timer = setTimeout(() => reject(new Error(`no frame within ${seconds} s`)), seconds * 1000)
      })
    } finally {
      clearTimeout(timer)
      this.waiting = null
    }
  }

  async close () {
    await this.stream.close().catch(() => this.abort())
  }

  abort () {
    this.stream.abort(new Error('not wanted any more'))
  }

  async pump () {
    try {
      for await (const chunk of this.stream) {
        this.buffered = concat([this.buffered, chunk instanceof Uint8Array ? chunk : chunk.subarray()])
        this.split()
      }
      this.end(new Error('the stream ended'))
    } catch (error) {
      this.end(error)
    }
  }

  split () {
    while (this.buffered.length >= 4) {
      const length = new DataView(this.buffered.buffer, this.buffered.byteOffset).getUint32(0)
      if (length > this.most) throw new Error(`a frame of ${length} bytes`)
      if (this.buffered.length < 4 + length) return
      this.deliver(this.buffered.slice(4, 4 + length))
      this.buffered = this.buffered.slice(4 + length)
      this.most = FRAME_BYTES
    }
  }

  deliver (frame) {
    if (this.waiting) this.waiting.resolve(frame)
    else this.ready.push(frame)
    this.waiting = null
  }

  end (error) {
    this.ended = error
    this.waiting?.reject(error)
  }
}
