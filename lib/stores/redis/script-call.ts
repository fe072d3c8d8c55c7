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

    override toWritable(): Buffer {
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
 * A command in RESP, an array of bulk strings: put together as one text with a character for each byte, where the driver makes a
 * buffer of each piece and takes five times as long.
 */
export function toResp(name: string, args: readonly Argument[]): Buffer {
  let text = `*${args.length + 1}\r\n$${name.length}\r\n${name}`
  for (const arg of args) {
    const value = bytesOf(arg)
    text += `\r\n$${value.length}\r\n${value}`
  }
  return Buffer.from(`${text}\r\n`, 'latin1')
}

/** The bytes of an argument, texts in UTF-8, as characters. */
function bytesOf(arg: Argument): string {
  if (typeof arg === 'number') return String(arg)
  if (typeof arg === 'object') return arg.toString('latin1')
  return Buffer.byteLength(arg) === arg.length ? arg : Buffer.from(arg).toString('latin1')
}
