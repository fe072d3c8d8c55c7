import { connect, type Socket } from 'node:net'
import { FaultPipe } from './fault-pipe.ts'
import { argumentsOf, FrameReader, isPush, kindOf } from './resp-frames.ts'

/** A command on its way through the proxy. */
export interface ProxiedCommand {
  /** In capitals: 'EVALSHA'. */
  name: string
  /** Without the name. */
  args: Buffer[]
  /** The arguments as text. */
  text: string[]
  /** How many commands came before it on its connection, and through the proxy. */
  index: number
  total: number
  /** The number of its connection, from 0. */
  connection: number
}

/**
 * What happens to a command:
 * - `pass`: nothing.
 * - `cut_before`: the connection is cut at once and the command never reaches the server. Commands before it do, though
 *   replies to them that are still on their way are lost.
 * - `cut_after`: the server executes it; its reply is dropped and the connection cut. Earlier replies arrive.
 * - `{ cutReplyAfter }`: the same after so many bytes of its reply.
 * - `swallow_request`: it and everything after it on this connection stays in the proxy until `release()`. TCP never
 *   goes on after a hole, so this is what a lost request looks like.
 * - `swallow_reply`: executed, but its reply and all later ones stay in the proxy until `release()`.
 * - `drop_request`, `drop_reply`: only this one vanishes and the next ones pass: replies are out of step from here on.
 * - `duplicate`: executed twice; the second reply is dropped.
 * - `duplicate_both`: executed twice, and both replies are passed on: out of step from here on.
 * - `duplicate_reply`: executed once, its reply is passed on twice: out of step from here on.
 * - `{ delayRequest, delayReply }`: ms; what follows on the connection waits behind it.
 * - `{ requestAfter, replyAfter }`: the same until a promise settles.
 */
export type FaultAction =
  | 'pass'
  | 'cut_before'
  | 'cut_after'
  | 'swallow_request'
  | 'swallow_reply'
  | 'drop_request'
  | 'drop_reply'
  | 'duplicate'
  | 'duplicate_both'
  | 'duplicate_reply'
  | { cutReplyAfter: number }
  | {
      delayRequest?: number
      delayReply?: number
      requestAfter?: Promise<unknown>
      replyAfter?: Promise<unknown>
    }

/** What a connection asks its proxy. */
export interface ConnectionHost {
  /** Undefined: bytes of any protocol, no commands. */
  decide: ((command: Omit<ProxiedCommand, 'total'>) => FaultAction) | undefined
  /** ms that a chunk needs at this moment. */
  transit: () => number
  replied: () => void
  ended: (connection: FaultConnection) => void
}

interface Awaited {
  name: string
  action: FaultAction
  /** A second execution's reply that nobody waits for. */
  isDropped: boolean
  /** Of a (P|S)(UN)SUBSCRIBE: so many confirmations are its reply. */
  confirmations: number
}

const MESSAGES = new Set(['message', 'pmessage', 'smessage'])
const isSubscription = (name: string) => /^[PS]?(UN)?SUBSCRIBE$/.test(name)

/** A client's connection, and the one to the server that belongs to it. */
export class FaultConnection {
  readonly id: number
  readonly #host: ConnectionHost
  readonly #client: Socket
  readonly #server: Socket
  readonly requests: FaultPipe
  readonly replies: FaultPipe
  readonly #requestFrames = new FrameReader()
  readonly #replyFrames = new FrameReader()
  readonly #awaited: Awaited[] = []
  #commands = 0
  #isCut = false

  constructor(id: number, client: Socket, port: number, host: ConnectionHost) {
    this.id = id
    this.#host = host
    this.#client = client
    this.#server = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    this.requests = new FaultPipe(this.#server)
    this.replies = new FaultPipe(client)
    client.setNoDelay(true)
    client.on('error', () => {})
    this.#server.on('error', () => {})
    client.on('data', (chunk: Buffer) => this.#onRequest(chunk))
    this.#server.on('data', (chunk: Buffer) => this.#onReply(chunk))
    // The end of one side reaches the other one in order: behind bytes that are still held or delayed.
    client.on('close', () => {
      this.replies.close()
      this.requests.end()
      if (this.#server.closed) this.cut()
    })
    this.#server.on('end', () => this.#server.end())
    this.#server.on('close', () => {
      this.requests.close()
      this.replies.end()
      if (client.closed) this.cut()
    })
  }

  /** Ends both sides at once; what has not left the proxy is lost. */
  cut(): void {
    if (this.#isCut) return
    this.#isCut = true
    this.requests.close()
    this.replies.close()
    this.#client.destroy()
    // Not destroy(): commands that were forwarded already do reach the server.
    this.#server.end()
    this.#server.resume()
    this.#server.setTimeout(1_000, () => this.#server.destroy())
    this.#host.ended(this)
  }

  destroy(): void {
    this.cut()
    this.#server.destroy()
  }

  #onRequest(chunk: Buffer): void {
    const delay = this.#host.transit()
    if (this.#host.decide === undefined) {
      this.requests.send(chunk, { delay })
      return
    }
    for (const frame of this.#requestFrames.push(chunk)) {
      if (this.#isCut) return
      const [name = Buffer.alloc(0), ...args] = argumentsOf(frame)
      const command = {
        name: name.toString().toUpperCase(),
        args,
        get text() {
          return args.map(String)
        },
        index: this.#commands++,
        connection: this.id,
      }
      this.#forward(command.name, args.length, frame, this.#host.decide(command), delay)
    }
  }

  #forward(name: string, count: number, frame: Buffer, action: FaultAction, delay: number): void {
    if (action === 'cut_before') this.cut()
    if (action === 'cut_before' || action === 'drop_request') return
    if (action === 'swallow_request') this.requests.hold()
    const confirmations = isSubscription(name) ? Math.max(count, 1) : 0
    const awaited = { name, action, isDropped: false, confirmations }
    this.#awaited.push(awaited)
    const isTwice = action === 'duplicate' || action === 'duplicate_both'
    if (isTwice) this.#awaited.push({ ...awaited, action: 'pass', isDropped: action === 'duplicate' })
    const { delayRequest = 0, requestAfter = undefined } =
      typeof action === 'object' && !('cutReplyAfter' in action) ? action : {}
    this.requests.send(isTwice ? Buffer.concat([frame, frame]) : frame, {
      delay: delay + delayRequest,
      ...(requestAfter !== undefined && { gate: requestAfter }),
    })
  }

  #onReply(chunk: Buffer): void {
    const delay = this.#host.transit()
    if (this.#host.decide === undefined) {
      this.replies.send(chunk, { delay })
      return
    }
    for (const frame of this.#replyFrames.push(chunk)) {
      const awaited = this.#match(frame)
      if (awaited === undefined) this.replies.send(frame, { delay })
      else this.#answer(awaited, frame, delay)
    }
  }

  /** The command that this frame answers; undefined for a message nobody asked for. */
  #match(frame: Buffer): Awaited | undefined {
    const head = this.#awaited[0]
    const kind = kindOf(frame)
    if (
      kind !== undefined &&
      head !== undefined &&
      head.confirmations > 0 &&
      kind.toUpperCase() === head.name
    ) {
      if (--head.confirmations === 0) this.#awaited.shift()
      return head
    }
    if (isPush(frame)) return undefined
    // RESP 2 has no pushes: messages to a subscriber look like replies.
    if (kind !== undefined && MESSAGES.has(kind) && head === undefined) return undefined
    return this.#awaited.shift()
  }

  #answer({ action, isDropped }: Awaited, frame: Buffer, delay: number): void {
    this.#host.replied()
    if (isDropped || action === 'drop_reply') return
    const cut = () => this.cut()
    if (action === 'swallow_reply') this.replies.hold()
    if (action === 'cut_after') {
      this.replies.send(Buffer.alloc(0), { after: cut })
    } else if (typeof action !== 'object') {
      this.replies.send(frame, { delay })
      if (action === 'duplicate_reply') this.replies.send(frame, { delay })
    } else if ('cutReplyAfter' in action) {
      // end() and not cut(): the bytes before the cut do arrive.
      const after = () => this.#client.end(cut)
      this.replies.send(frame.subarray(0, action.cutReplyAfter), { delay, after })
    } else {
      const { delayReply = 0, replyAfter } = action
      this.replies.send(frame, {
        delay: delay + delayReply,
        ...(replyAfter !== undefined && { gate: replyAfter }),
      })
    }
  }
}
