import { type IncomingMessage, request } from 'node:http'
import type { Duplex } from 'node:stream'
import { hasAmbiguousMember } from '../protocol/ambiguous-json.ts'
import { decodeUtf8, parseJsonObject } from '../protocol/encoding.ts'
import { freshnessOf } from '../protocol/freshness.ts'
import { type OutboundUrl, readOutboundUrl } from '../protocol/outbound-url.ts'
import { isPublicAddress } from '../protocol/special-use-addresses.ts'
import type { Clock } from '../protocol/time.ts'
import type { CounterStore } from '../stores/ports.ts'
import { FetchFailure } from './fetch-failure.ts'
import { createFetchSlots, type FetchReason } from './fetch-slots.ts'
import type { Network } from './network.ts'

/** Seconds for all of a fetch: name, connection and answer. */
const TIMEOUT = 5
/** Seconds for one address, so that another one has time left. */
const CONNECT_TIMEOUT = 2
/** Addresses of a name that are tried one after the other. */
const MAX_ATTEMPTS = 3
/** Bytes. */
const MAX_BODY = 64 * 1024
/** Bytes. */
const MAX_HEADERS = 16 * 1024

export interface GuardedFetchOptions {
  readonly network: Network
  readonly counters: CounterStore
  readonly clock: Clock
  /** Ports beside 443. */
  readonly ports: readonly number[]
}

export interface FetchedJson {
  readonly body: Record<string, unknown>
  /** Seconds, as the headers say; `undefined` where they say nothing. */
  readonly freshFor: number | undefined
}

/**
 * Fetches a JSON object from a URL that a stranger gave, without ever connecting to anything but a host of the public Internet:
 * the name is resolved once, every address of it is judged, and the connection goes to one of just those. No redirect is
 * followed; time, size, and the number of fetches are bounded.
 */
export function createGuardedFetch({ network, counters, clock, ports }: GuardedFetchOptions) {
  const slots = createFetchSlots({ counters, clock })

  /** @throws FetchFailure */
  return async function fetchJson(url: string, reason: FetchReason = {}): Promise<FetchedJson> {
    const target = readOutboundUrl(url, ports)
    if ('problem' in target) throw new FetchFailure('refused', `the URL ${target.problem}`)
    const leave = await slots.enter(target.host, reason)
    const signal = network.after(TIMEOUT)
    try {
      return await unlessAborted(fetchFrom(target, signal), signal)
    } finally {
      leave()
    }
  }

  async function fetchFrom(target: OutboundUrl, signal: AbortSignal): Promise<FetchedJson> {
    const addresses = await network.resolve(target.host, signal).catch((error: unknown) => {
      throw new FetchFailure('unavailable', 'its name could not be resolved', { cause: error })
    })
    if (addresses.length === 0) throw new FetchFailure('unavailable', 'its name has no address')
    if (!addresses.every(isPublicAddress))
      throw new FetchFailure('refused', 'its name has an address that is not of the public Internet')
    const socket = await connectToOneOf(addresses, target, signal)
    try {
      const response = await exchange(socket, target, signal)
      return { body: await readJson(response), freshFor: freshnessOf(response.headers, clock()) }
    } catch (error) {
      if (error instanceof FetchFailure) throw error
      throw new FetchFailure('unavailable', 'its answer could not be read', { cause: error })
    } finally {
      socket.destroy()
    }
  }

  async function connectToOneOf(
    addresses: readonly string[],
    { host: name, port }: OutboundUrl,
    signal: AbortSignal,
  ): Promise<Duplex> {
    let failure: unknown
    for (const address of addresses.slice(0, MAX_ATTEMPTS)) {
      if (signal.aborted) break
      try {
        const socket = await network.connect({ address, port, name }, network.after(CONNECT_TIMEOUT))
        socket.on('error', () => undefined)
        if (signal.aborted) socket.destroy()
        return socket
      } catch (error) {
        failure = error
      }
    }
    throw new FetchFailure('unavailable', 'it could not be connected to', { cause: failure })
  }
}

export type GuardedFetch = ReturnType<typeof createGuardedFetch>

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new FetchFailure('unavailable', `it took over ${TIMEOUT} seconds`))
    signal.addEventListener('abort', giveUp)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
  })
}

/** One request on this very connection; what comes first is the whole answer, wherever it would lead. */
function exchange(
  socket: Duplex,
  { host, port, path }: OutboundUrl,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({
      createConnection: () => socket,
      path,
      headers: {
        Host: port === 443 ? host : `${host}:${port}`,
        Accept: 'application/json',
        'Accept-Encoding': 'identity',
        'User-Agent': 'express-aat',
        Connection: 'close',
      },
      maxHeaderSize: MAX_HEADERS,
      signal,
    })
    asked.on('error', reject)
    asked.on('response', resolve)
    // Also where the host would rather speak another protocol (101).
    asked.on('close', () => reject(new Error('it was closed without an answer')))
    asked.end()
  })
}

async function readJson(response: IncomingMessage): Promise<Record<string, unknown>> {
  const { statusCode = 0, headers } = response
  if (statusCode !== 200)
    throw new FetchFailure(
      isPassing(statusCode) ? 'unavailable' : 'refused',
      `its status is ${statusCode}, not 200`,
    )
  if (!/^application\/(?:[a-z0-9!#$&^_.-]+\+)?json\s*(?:;|$)/i.test(headers['content-type'] ?? ''))
    throw new FetchFailure('refused', 'its content type is not application/json')
  // What was not asked for: 10 KB may stand for a gigabyte.
  if (!['', 'identity'].includes(headers['content-encoding']?.toLowerCase() ?? ''))
    throw new FetchFailure('refused', 'it is compressed')
  const tooLarge = new FetchFailure('refused', `it is over ${MAX_BODY} bytes`)
  if (Number(headers['content-length'] ?? 0) > MAX_BODY) throw tooLarge
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    size += chunk.length
    if (size > MAX_BODY) throw tooLarge
    chunks.push(chunk)
  }
  const text = decodeUtf8(Buffer.concat(chunks, size))
  const body = text === undefined ? undefined : parseJsonObject(text)
  if (text === undefined || body === undefined)
    throw new FetchFailure('refused', 'it is not a JSON object in UTF-8')
  if (hasAmbiguousMember(text))
    throw new FetchFailure('refused', 'it has a member twice, or __proto__, or is nested too deeply')
  return body
}

/** The host has trouble, or too much to do: that says nothing of the document (RFC 9110 §15). */
function isPassing(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429
}
