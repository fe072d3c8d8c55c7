import { ConfigurationError, callback, optional, readOptions, text, whole } from '../../protocol/options.ts'
import { systemRandom } from '../../protocol/random.ts'
import { type Clock, systemMonotonic } from '../../protocol/time.ts'
import type { Stores } from '../ports.ts'
import { redisAccessTokens } from './access-tokens.ts'
import { checkRedis } from './check.ts'
import { redisClients } from './clients.ts'
import { duplicate, prefixOf, type RedisClient } from './connection.ts'
import { redisConsents } from './consents.ts'
import { redisCounters } from './counters.ts'
import { redisDocuments } from './documents.ts'
import { redisGrants } from './grants.ts'
import { createHints } from './hints.ts'
import { redisInitialAccessTokens } from './initial-access-tokens.ts'
import { redisInstances } from './instances.ts'
import { keysOf } from './keys.ts'
import { redisPlaces } from './places.ts'
import { redisReplays } from './replays.ts'
import { redisRequests } from './requests.ts'
import { redisRevocations } from './revocations.ts'
import { redisRing } from './ring.ts'
import { createRunner } from './runner.ts'

export interface RedisStoresOptions {
  /** What all keys begin with (default `aat:`); each issuer needs one of its own. No braces, at most 64 characters. */
  prefix?: string | undefined
  /** Milliseconds that a command may take before the request is answered with 503 (default 500, 50 to 10,000). */
  deadline?: number | undefined
  /** The most commands that may wait for Redis at once (default 5,000); over that, 503 at once. */
  maxInFlight?: number | undefined
  /**
   * Replicas that must have a revocation, a registration, a code's redemption or a change of the key ring before it counts
   * (`WAIT`; default 0). With fewer in reach: 503. It makes losing one in a failover unlikely, not impossible.
   */
  replicas?: number | undefined
  /** Seconds since the epoch that stand for the server's clock. For tests; default the server's own. */
  clock?: Clock | undefined
}

/**
 * Stores that all instances share, in Redis 6.2 or newer or Valkey: standalone, with Sentinel, or Cluster. The client that is
 * passed gives address and credentials; the stores duplicate it twice (for commands and for hints), leave it as it is, and
 * close what they opened with `aat.close()`.
 * @param client an ioredis `Redis` or `Cluster`
 * @throws ConfigurationError for wrong arguments
 */
export function redisStores(client: RedisClient, options: RedisStoresOptions = {}): Stores {
  if (typeof client?.duplicate !== 'function' || typeof client.callBuffer !== 'function')
    throw new ConfigurationError('redisStores', ['the first argument must be a Redis or Cluster of ioredis'])
  const { prefix, deadline, maxInFlight, replicas, clock } = readOptions('redisStores', options, {
    prefix: optional(
      text({ max: 64, pattern: /^[^{}\s]+$/, what: 'a text without braces and spaces' }),
      'aat:',
    ),
    deadline: optional(whole('milliseconds', 50, 10_000), 500),
    maxInFlight: optional(whole('commands', 1, 1_000_000), 5000),
    replicas: optional(whole('replicas', 0, 16), 0),
    clock: optional(callback<Clock>()),
  })
  if (/[{}\s]/.test(prefixOf(client)))
    throw new ConfigurationError('redisStores', ['keyPrefix of the client must have no braces and spaces'])
  const fullPrefix = prefixOf(client) + prefix
  const keys = keysOf(fullPrefix)
  let trouble: unknown
  const connection = connect('express-aat')
  connection.on('error', (error) => {
    trouble = error
  })
  connection.on('ready', () => {
    trouble = undefined
  })
  const runner = createRunner({
    client: connection,
    random: systemRandom,
    monotonic: systemMonotonic,
    deadline,
    maxInFlight,
    trouble: () => trouble,
    clock,
    replicas,
  })
  const hints = createHints(() => connect('express-aat-hints'), keys.hints)

  function connect(name: string): RedisClient {
    const opened = duplicate(client, deadline, name)
    // Each command says for itself what went wrong; without a listener the driver would write to the console.
    opened.on('error', () => undefined)
    return opened
  }

  return {
    kind: 'redis',
    grants: redisGrants(runner, keys),
    clients: redisClients(runner, keys, systemRandom),
    requests: redisRequests(runner, keys, systemRandom),
    consents: redisConsents(runner, keys),
    replays: redisReplays(runner, keys, systemRandom),
    revocations: redisRevocations(runner, keys, hints, systemRandom),
    ring: redisRing(runner, keys, systemRandom),
    counters: redisCounters(runner, keys, systemRandom),
    places: redisPlaces(runner, keys),
    initialAccessTokens: redisInitialAccessTokens(runner, keys, systemRandom),
    accessTokens: redisAccessTokens(runner, keys, systemRandom),
    documents: redisDocuments(runner, keys),
    check: () =>
      checkRedis({
        client: connection,
        runner,
        keys,
        prefix: fullPrefix,
        deadline,
        hintsRefusal: hints.refusal,
        hasServerClock: clock === undefined,
      }),
    announce: redisInstances(runner, keys),
    async close() {
      hints.close()
      await runner.drained()
      connection.disconnect()
    },
  }
}
