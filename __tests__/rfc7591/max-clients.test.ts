import { expect, test } from '@jest/globals'
import type { RegistrationPolicyOptions } from '../../lib/index.ts'
import { basic, startWorld, type World, type WorldOptions } from '../support/world.ts'

const uri = 'https://app.example/cb'
const app = { redirect_uris: [uri], token_endpoint_auth_method: 'none' }

async function withWorld(
  policy: RegistrationPolicyOptions,
  run: (world: World) => Promise<unknown>,
  dcr: WorldOptions['dcr'] = {},
): Promise<void> {
  const world = await startWorld({
    dcr,
    aat: { registration: { quotas: false, policies: { default: policy, other: {} } } },
  })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

const registerWith = async (world: World, token: string) => {
  const response = await fetch(world.endpoint('register'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify(app),
  })
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: await response.json(),
  }
}

test('by tokens: so many clients, of 20 at once too; deleting one makes room, and a use is not burnt', () =>
  withWorld(
    { maxClients: 5 },
    async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ uses: 10 })
      const answers = await Promise.all(Array.from({ length: 20 }, () => registerWith(world, token)))
      const made = answers.filter(({ status }) => status === 201)
      expect(made).toHaveLength(5)
      const refused = await registerWith(world, token)
      expect([refused.status, refused.body.error, refused.retryAfter]).toEqual([
        503,
        'temporarily_unavailable',
        '3600',
      ])
      expect((await world.aat.initialAccessTokens.list()).tokens[0]?.used).toBe(5)
      // Nothing is wrong here: strangers cannot make faults of it.
      const reason = 'there are as many clients of this kind as there may be'
      expect([world.eventsNamed('fault'), world.eventsNamed('registration.refused').at(-1)]).toMatchObject([
        [],
        { reason },
      ])
      await world.aat.clients.delete(made[0]?.body.client_id)
      expect([(await registerWith(world, token)).status, (await registerWith(world, token)).status]).toEqual([
        201, 503,
      ])
      const other = await world.aat.initialAccessTokens.create({ policy: 'other' })
      expect((await registerWith(world, other.token)).status).toBe(201)
    },
    { allow: 'initial-access-token' },
  ))

test('by anybody: a place is taken at the first consent, and the ones that were never used take none', () =>
  withWorld({ maxClients: 2 }, async (world) => {
    const ids: string[] = []
    for (let count = 0; count < 10; count++) ids.push((await world.register(app)).body.client_id)
    const ask = (id = '') => world.authorize({ client_id: id, redirect_uri: uri, scope: 'a' })
    const codes = [await ask(ids[0]), await ask(ids[1])]
    expect(codes.every(({ code }) => code !== '')).toBe(true)
    const third = await ask(ids[2])
    // The page says so: nobody is sent to a stranger's redirect for an error.
    expect([third.code, third.location.href]).toEqual(['', 'error:no-location-but-503'])
    // Who has one goes on.
    expect((await ask(ids[0])).code).not.toBe('')
    await world.aat.clients.delete(ids[1] ?? '')
    expect((await ask(ids[2])).code).not.toBe('')
    // A place ends with the record, ninety days after the last use.
    world.clock.advance(91 * 86_400)
    expect((await ask(ids[3])).code).not.toBe('')
  }))

test('by anybody, for client_credentials: a place from the start, since no user is ever asked', () =>
  withWorld({ maxClients: 1, grantTypes: ['client_credentials'] }, async (world) => {
    const machine = { grant_types: ['client_credentials'] }
    const { body } = await world.register(machine)
    expect((await world.register(machine)).status).toBe(503)
    const token = await world.token(
      { grant_type: 'client_credentials', scope: 'a' },
      basic(body.client_id, body.client_secret),
    )
    expect(token.status).toBe(200)
  }))
