import { afterEach } from '@jest/globals'
import type { Stores } from '../../lib/index.ts'
import { recordingStores, type StoreCall } from '../support/recording-stores.ts'
import { makeStores } from '../support/stores.ts'
import {
  basic,
  manualClock,
  RESOURCE_SERVER,
  startWorld,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const open: World[] = []
afterEach(async () => {
  for (const world of open.splice(0)) await world.close()
})

export const resourcesAt = (base: string, accessTokenFormat: 'jwt' | 'opaque' = 'opaque') => ({
  [`${base}/api`]: { scopes: ['a', 'b', 'c'], defaultScopes: ['a'], accessTokenFormat },
  [`${base}/other`]: { scopes: ['a', 'x'], accessTokenFormat },
})

export type OpaqueWorld = World & { stores: Stores; calls: StoreCall[]; reads: () => number }

/** A world whose resources have opaque tokens, with a list of what its stores were asked. */
export async function start(
  options: WorldOptions & { format?: 'jwt' | 'opaque' } = {},
): Promise<OpaqueWorld> {
  const { format = 'opaque', aat, ...rest } = options
  const clock = options.clock ?? manualClock()
  const made = options.stores ?? (await makeStores(clock))
  const { stores, calls } = recordingStores(made)
  const world = await startWorld({
    ...rest,
    clock,
    stores,
    aat: (base) => ({
      resources: resourcesAt(options.issuer ?? base, format),
      ...(typeof aat === 'function' ? aat(base) : aat),
    }),
  })
  open.push(world)
  return {
    ...world,
    stores: made,
    calls,
    reads: () => calls.filter(({ store, verb }) => store === 'accessTokens' && verb === 'read').length,
  }
}

export const asServer = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)

export const introspect = async (world: World, token: string, headers = asServer) =>
  (await world.post(world.endpoint('introspect'), { token }, headers)).body

export const statusOf = async (world: World, token: string, path = '/api/a') =>
  (await world.call(path, token)).status
