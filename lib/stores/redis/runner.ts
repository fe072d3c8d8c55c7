import { StoreUnavailable } from '../../protocol/oauth-error.ts'
import { type Random, randomId } from '../../protocol/random.ts'
import type { Clock, NumericDate } from '../../protocol/time.ts'
import { createCoalescing } from './coalesce.ts'
import type { RedisClient } from './connection.ts'
import { codeOf, unavailable, wordOf } from './faults.ts'
import type { Script } from './script.ts'
import { type Argument, createSend } from './script-call.ts'
import { whenOver } from './when-over.ts'

/** What a script said. */
export interface Reply {
  readonly outcome: string
  /** The server's now, in which it decided. */
  readonly now: NumericDate
  /** What follows the outcome. */
  readonly rest: readonly Buffer[]
}

export interface RunnerOptions {
  readonly client: RedisClient
  readonly random: Random
  readonly monotonic: Clock
  /** Milliseconds. */
  readonly deadline: number
  readonly maxInFlight: number
  /** What the connection said last, while it is not ready. */
  readonly trouble: () => unknown
  /** Stands for the server's TIME. For tests. */
  readonly clock: Clock | undefined
  /** Replicas that have to acknowledge a write that must not be lost; 0: none. */
  readonly replicas: number
}

/** What a script says that ran too late; this one refused to, and changed nothing. */
class Late extends Error {
  /** How far the clock of the server that said so is ahead of the monotonic one, in ms. */
  readonly offset: number

  constructor(offset: number) {
    super('late')
    this.offset = offset
  }
}

/**
 * Runs scripts, each with its own deadline, over a driver that may lose replies, re-send commands, and answer late:
 *
 * - the caller waits for `deadline` at the most, whatever the driver does;
 * - a script that reaches the server after that changes nothing, not even a moment after: the client has its 503 and may be
 *   two refreshes further by way of another instance, so that what still sat in a queue here would look like theft;
 * - the reply carries the nonce of the run, so one that belongs to another command is noticed and the connection dropped;
 * - commands that the driver has not settled are capped.
 */
export function createRunner({
  client,
  random,
  monotonic,
  deadline,
  maxInFlight,
  trouble,
  clock,
  replicas,
}: RunnerOptions) {
  const coalesce = createCoalescing(client)
  const sendCommand = createSend(client)
  /** What the nonces of this runner begin with; a number makes them differ. */
  const own = randomId(random, 9)
  let runs = 0
  let inFlight = 0
  /** Counts connections: which one is there now, and which was left because it was out of step. */
  let connection = 0
  let left = -1
  client.on('ready', () => connection++)
  let idle: (() => void) | undefined
  /** The server's clock minus the monotonic one, in ms: the server is at least as far. */
  let offset: number | undefined

  function learn(serverNow: number, sentAt: number, receivedAt: number): void {
    const observed = serverNow - receivedAt
    // Replies take their time, so the greatest is the truest, unless the server cannot be that far: its clock jumped back, or
    // it is another server by now. It tells whole milliseconds.
    const most = serverNow + 1 - sentAt
    if (offset === undefined || observed > offset || most < offset) offset = observed
  }

  /** Once for each connection: replies that came together all tell of it, and the socket goes on for a moment. */
  function leave(): void {
    if (left === connection) return
    left = connection
    client.disconnect(true)
  }

  function settle(): void {
    inFlight--
    if (inFlight === 0) idle?.()
  }

  async function send(
    script: Script,
    keys: readonly string[],
    args: readonly Argument[],
    durable: boolean,
    givesUpAt: number,
    ahead = offset,
  ): Promise<Reply> {
    const nonce = `${own}${++runs}`
    const sent = monotonic() * 1000
    // A server that was never heard says first what time it is there, and does nothing: who knows when it gets this.
    // The offset is never too great, so this is not after the caller has given up; where it is too small, the answer tells.
    const late = ahead === undefined ? 0 : Math.floor(givesUpAt + ahead)
    const time = clock === undefined ? '' : Math.round(clock() * 1000)
    const parameters = [script.sha, keys.length, ...keys, nonce, late, time, ...args]
    let answer: unknown
    try {
      answer = await call('EVALSHA', parameters, durable)
    } catch (error) {
      // The body only where the server does not have it: a restart, a failover, SCRIPT FLUSH.
      if (codeOf(error) !== 'NOSCRIPT') throw error
      answer = await call('EVAL', [script.body, ...parameters.slice(1)], durable)
    }
    const received = monotonic() * 1000
    if (!Array.isArray(answer) || String(answer[0]) !== nonce) {
      // Replies and commands are out of step on this connection; whatever follows on it would be wrong too.
      leave()
      throw new StoreUnavailable('a reply of Redis belongs to another command')
    }
    const serverNow = Number(answer[1])
    learn(serverNow, sent, received)
    const outcome = String(answer[2])
    if (outcome === 'late') throw new Late(serverNow - received)
    return { outcome, now: serverNow / 1000, rest: answer.slice(3) as Buffer[] }
  }

  function call(command: string, parameters: Argument[], durable: boolean): Promise<unknown> {
    coalesce()
    return durable && replicas > 0 ? acknowledged(command, parameters) : sendCommand(command, parameters)
  }

  /** The write, and at once behind it on the same connection a question whether replicas have it. */
  async function acknowledged(command: string, parameters: readonly Argument[]): Promise<unknown> {
    const results = await client
      .pipeline([
        ['callBuffer', command, ...parameters],
        ['call', 'WAIT', replicas, Math.ceil(deadline / 2)],
      ])
      .exec()
    const [[error, answer] = [], [waitError, count] = []] = results ?? []
    if (error ?? waitError) throw error ?? waitError
    if (!(Number(count) >= replicas))
      throw new StoreUnavailable(`${count} of ${replicas} replicas acknowledged the write`)
    return answer
  }

  /**
   * @param durable wait until replicas have it, where that is configured
   * @throws StoreUnavailable where there was no good answer in time; what happened is then unknown
   */
  function run(
    script: Script,
    keys: readonly string[],
    args: readonly Argument[] = [],
    { durable = false }: { durable?: boolean } = {},
  ): Promise<Reply> {
    if (inFlight >= maxInFlight)
      return Promise.reject(new StoreUnavailable(`${inFlight} commands wait for Redis already`))
    return new Promise((resolve, reject) => {
      let isWaitedFor = true
      let givesUpAt = monotonic() * 1000 + deadline
      const waitOn = () => {
        givesUpAt = monotonic() * 1000 + deadline
      }
      const stopWaiting = whenOver(deadline, monotonic, waitOn, () => {
        isWaitedFor = false
        const last = trouble()
        const why = last === undefined ? '' : ` (${wordOf(last)})`
        reject(new StoreUnavailable(`Redis did not answer within ${deadline} ms${why}`))
      })

      function attempt(ahead?: number): void {
        inFlight++
        send(script, keys, args, durable, givesUpAt, ahead).then(
          (reply) => {
            settle()
            stopWaiting()
            resolve(reply)
          },
          (error: unknown) => {
            settle()
            // Judged by no clock yet, or by one that was behind, say after a failover to a server whose own is ahead: once
            // more, by the right one.
            // In a cluster that is the clock of this node: what others say meanwhile is of no use here.
            if (error instanceof Late && ahead === undefined && isWaitedFor) return attempt(error.offset)
            stopWaiting()
            reject(
              error instanceof Late
                ? new StoreUnavailable('Redis got the command too late and did nothing')
                : unavailable(error, trouble()),
            )
          },
        )
      }
      attempt()
    })
  }

  return {
    run,

    /** Seconds by which the server's clock is ahead of the given one; `undefined` before the first answer. */
    clockOffset: (now: NumericDate): number | undefined =>
      offset === undefined ? undefined : offset / 1000 + monotonic() - now,

    /** Fulfilled when nothing is on its way any more, or when the deadline has passed. */
    async drained(): Promise<void> {
      if (inFlight === 0) return
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        idle = resolve
        timer = setTimeout(resolve, deadline)
      })
      clearTimeout(timer)
    },
  }
}

export type Runner = ReturnType<typeof createRunner>
