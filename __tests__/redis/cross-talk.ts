import type { Client } from '../../lib/stores/ports.ts'
import type { FaultAction } from '../support/fault-proxy.ts'
import { proxiedStores } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { REDIRECT_URI } from '../support/world.ts'

/** What brings replies and commands out of step. */
export const FAULTS = ['duplicate_reply', 'duplicate_both', 'drop_reply', 'drop_request'] as const

const actions: readonly FaultAction[] = [
  ...FAULTS,
  'cut_after',
  'cut_before',
  { delayReply: 60 },
  { delayRequest: 45 },
]

/** Reads records by many lanes at once while faults strike, for `seconds` at most; counts answers that were right, missing, or another's. */
export async function provokeCrossTalk(of: {
  commands: number
  seconds: number
  lanes: number
  faults: number
}) {
  const { stores, proxy } = await proxiedStores({ redis: { deadline: 50, maxInFlight: 1_000_000 } })
  const ids = Array.from({ length: 40 }, (_, index) => `client-${index}`)
  for (const id of ids) {
    const client: Client = {
      id,
      origin: 'registered',
      applicationType: 'web',
      redirectUris: [REDIRECT_URI],
      grantTypes: [],
      authenticationMethod: 'none',
      secrets: [],
      createdAt: 1,
    }
    await until('it is there', () => stores.clients.create(client))
  }
  // A sequence of its own, so that a run can be repeated.
  let state = 7
  const random = () => {
    state = (state * 16_807) % 2_147_483_647
    return state / 2_147_483_647
  }
  const rate = of.faults / of.commands
  const stop = proxy.onCommand(({ name }) =>
    name === 'EVALSHA' && random() < rate ? actions[Math.floor(random() * actions.length)] : undefined,
  )
  const counts = { right: 0, unavailable: 0, wrong: 0 }
  const deadline = Date.now() + of.seconds * 1000
  async function lane(): Promise<void> {
    for (let round = 0; round < of.commands / of.lanes && Date.now() < deadline; round++) {
      const id = ids[Math.floor(random() * ids.length)] ?? ''
      const found = await stores.clients.read(id).catch(() => 'unavailable' as const)
      if (found === 'unavailable') counts.unavailable++
      else if (typeof found === 'object' && found.client.id === id) counts.right++
      else counts.wrong++
    }
  }
  await Promise.all(Array.from({ length: of.lanes }, lane))
  stop()
  await until('it is in step again', async () => typeof (await stores.clients.read('client-7')) === 'object')
  return counts
}
