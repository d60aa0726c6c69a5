// One side of a job conversation, which holds both sides to their turns: docs/protocol.md, section 9.

import { Conversation, decodeFrame, encodeFrame } from './job_frames.mjs'

export class Talk {
  constructor (frames, speaker) {
    this.frames = frames
    this.speaker = speaker
    this.other = speaker === 'coordinator' ? 'provider' : 'coordinator'
    this.conversation = new Conversation()
  }

  get state () {
    return this.conversation.state
  }

  async send (name, ...fields) {
    this.conversation.observe(this.speaker, name)
    await this.frames.send(encodeFrame(name, ...fields))
  }

  async next (seconds) {
    const frame = decodeFrame(await this.frames.next(seconds))
    this.conversation.observe(this.other, frame.name)
    return frame
  }
}
