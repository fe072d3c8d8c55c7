import type { Redis } from 'ioredis'
import type { RedisClient } from './connection.ts'

/** An argument of a command of Redis; numbers, whole and within what is exact, are sent in decimal. */
export type Argument = string | number | Buffer

/** Sends a command and gives its reply as bytes. */
export type Send = (name: string, args: Argument[]) => Promise<unknown>

/** How a client sends a command with bytes among its arguments: written by `toResp`. */
export function createSend(client: RedisClient): Send {
  const Command = commandClassOf(client)
  if (Command === undefined) return (name, args) => client.callBuffer(name, args)
  class ScriptCall extends Command {
    constructor(name: string, args: Argument[]) {
      // The driver would flatten them and make texts of them, for its own writing.
      super(name, [], { replyEncoding: null })
      this.args = args
    }

    override toWritable(): string | Buffer {
      return toResp(this.name, this.args as Argument[])
    }
  }
  return (name, args) => client.sendCommand(new ScriptCall(name, args)) as Promise<unknown>
}

/**
 * The class of which a client makes its commands. The app's ioredis may be another copy than one that this package would import,
 * and the driver's mixing of classes hides a client's own: its `constructor` is that of events.
 * @returns `undefined` for something else than a client of ioredis
 */
function commandClassOf(client: RedisClient): typeof Redis.Command | undefined {
  if (typeof client.sendCommand !== 'function') return undefined
  let made: object | undefined
  const nowhere = {
    options: {},
    sendCommand(command: object) {
      made = command
    },
  }
  client.callBuffer.call(nowhere as never, 'PING')
  return made?.constructor as typeof Redis.Command | undefined
}

/**
 * A command in RESP, an array of bulk strings: one buffer of the right size, where the driver makes one of each piece and takes
 * four times as long.
 */
export function toResp(name: string, args: readonly Argument[]): string | Buffer {
  const pieces: (string | Buffer)[] = []
  let size = 0
  let text = `*${args.length + 1}\r\n$${Buffer.byteLength(name)}\r\n${name}\r\n`
  for (const arg of args) {
    if (typeof arg === 'object') {
      text += `$${arg.length}\r\n`
      size += Buffer.byteLength(text) + arg.length
      pieces.push(text, arg)
      text = '\r\n'
    } else {
      const value = String(arg)
      text += `$${Buffer.byteLength(value)}\r\n${value}\r\n`
    }
  }
  if (pieces.length === 0) return text
  const bytes = Buffer.allocUnsafe(size + Buffer.byteLength(text))
  let at = 0
  for (const piece of [...pieces, text])
    at += typeof piece === 'string' ? bytes.write(piece, at) : piece.copy(bytes, at)
  return bytes
}
