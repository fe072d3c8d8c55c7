import { expect } from '@jest/globals'
import { type AatOptions, memoryStores, type Stores } from '../../lib/index.ts'
import {
  type ManualClock,
  manualClock,
  startWorld,
  type TokenAnswer,
  type World,
  type WorldOptions,
} from '../support/world.ts'

/** Instances of one authorization server on one set of stores and one clock, as behind a load balancer. */
export async function startInstances(count: number, options: WorldOptions = {}) {
  const clock = options.clock ?? manualClock()
  const stores = options.stores ?? memoryStores({ clock })
  const worlds: [World, ...World[]] = [await startWorld({ ...options, clock, stores })]
  while (worlds.length < count)
    worlds.push(await startWorld({ ...options, clock, stores, issuer: worlds[0].issuer }))
  return {
    worlds,
    clock,
    stores,
    /** One more, for example with another configuration: a deployment. */
    async start(more: WorldOptions = {}): Promise<World> {
      const world = await startWorld({ ...options, clock, stores, issuer: worlds[0].issuer, ...more })
      worlds.push(world)
      return world
    },
    close: async () => {
      for (const world of worlds) await world.close()
    },
  }
}

/** A world for one test, closed after it. */
export async function withWorld(
  aat: WorldOptions['aat'],
  run: (world: World) => Promise<void>,
  more: WorldOptions = {},
): Promise<void> {
  const world = await startWorld({ ...more, ...(aat !== undefined && { aat }) })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

export function refreshTokens(refreshTokens: NonNullable<AatOptions['refreshTokens']>): {
  refreshTokens: NonNullable<AatOptions['refreshTokens']>
} {
  return { refreshTokens }
}

/** A refusal with this code (400 unless said), in the shape of RFC 6749 §5.2, that is never cached. */
export function expectRefused(answer: TokenAnswer, error: string, status = 400): void {
  expect({ status: answer.status, error: answer.body?.error }).toEqual({ status, error })
  expect(Object.keys(answer.body).sort()).toEqual(['error', 'error_description'])
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

/** The family of an access token or a refresh answer is dead: no token of it is good for anything. */
export async function expectDead(
  world: World,
  tokens: { refresh?: string[]; access?: string[] },
): Promise<void> {
  for (const token of tokens.refresh ?? []) expectRefused(await world.refresh(token), 'invalid_grant')
  for (const token of tokens.access ?? []) expect((await world.call('/api/a', token)).status).toBe(401)
}

/** Stores of which each call of one verb of `grants` is run twice, as a driver does that lost the reply. */
export function runningTwice(stores: Stores, verb: 'refresh' | 'redeemCode'): Stores {
  const grants = {
    ...stores.grants,
    // biome-ignore lint/suspicious/noExplicitAny: two verbs of different types
    async [verb](request: any) {
      await stores.grants[verb](request)
      return stores.grants[verb](request)
    },
  }
  return { ...stores, grants }
}

export type { ManualClock }
