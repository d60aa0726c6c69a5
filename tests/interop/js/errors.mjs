// Errors with the stable codes of docs/protocol.md, section 13.

export class ProtocolError extends Error {
  constructor (code, why) {
    super(`${code}: ${why}`)
    this.code = code
  }
}
