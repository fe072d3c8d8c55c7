import { expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { BEGINNING } from '../../lib/stores/ports.ts'
import { Browser, basic, manualClock, startWorld } from '../support/world.ts'

test('a client that is deleted while its client_credentials request waits for the claims hook gets no live token', async () => {
  let inHook: () => void = () => undefined
  let goOn: () => void = () => undefined
  const reached = new Promise<void>((resolve) => (inHook = resolve))
  const wait = new Promise<void>((resolve) => (goOn = resolve))
  const world = await startWorld({
    aat: {
      registration: { policies: { default: { grantTypes: ['client_credentials'] } } },
      async claims() {
        inHook()
        await wait
        return {}
      },
    },
  })
  const { body: client } = await world.register({ grant_types: ['client_credentials'], redirect_uris: [] })
  const pending = world.token(
    { grant_type: 'client_credentials', scope: 'a' },
    basic(client.client_id, client.client_secret),
  )
  await reached
  expect(await world.aat.clients.delete(client.client_id)).toBe('deleted')
  world.clock.advance(2)
  goOn()
  const { body } = await pending
  const answer = await world.call('/api/a', body.access_token)
  await world.close()
  expect(answer.status).toBe(401)
})

test('"sign out everywhere" covers an authorization that was on its way when it was pressed', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  let during: (() => Promise<void>) | undefined
  const world = await startWorld({
    clock,
    stores: {
      ...stores,
      consents: {
        ...stores.consents,
        async read(subject: string, clientId: string) {
          const consent = await stores.consents.read(subject, clientId)
          await during?.()
          return consent
        },
      },
    },
  })
  const browser = new Browser(world.base)
  await world.authorize({}, { browser })
  during = async () => {
    during = undefined
    await world.aat.revoke({ subject: 'alice' }) // and the app ends alice's sessions
    clock.advance(1)
  }
  const { body } = await world.signInAndGetTokens({}, {}, { browser })
  const status =
    body?.access_token === undefined ? 401 : (await world.call('/api/a', body.access_token)).status
  await world.close()
  expect(status).toBe(401)
})

test('isSubjectActive is asked even where the store did not show the code ahead of its redemption (a lagging replica)', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const world = await startWorld({
    clock,
    stores: { ...stores, grants: { ...stores.grants, readCode: async () => undefined } },
    aat: { isSubjectActive: () => false },
  })
  const answer = await world.signInAndGetTokens()
  await world.close()
  expect(answer.status).toBe(400)
})

test('revoking one refresh token again and again does not grow the revocation log', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const world = await startWorld({ clock, stores })
  const { body } = await world.signInAndGetTokens()
  for (let round = 0; round < 200; round++)
    await world.post(
      world.endpoint('revoke'),
      { token: body.refresh_token },
      basic('confidential', 'a-secret-of-the-test-suite-0123456789'),
    )
  await world.close()
  expect((await stores.revocations.since(BEGINNING)).entries.length).toBeLessThan(5)
})

test('replaying one spent code again and again does not grow the revocation log', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const world = await startWorld({ clock, stores })
  const { code, verifier } = await world.authorize()
  for (let round = 0; round < 200; round++)
    await world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: 'https://client.example/cb',
    })
  await world.close()
  expect((await stores.revocations.since(BEGINNING)).entries.length).toBeLessThan(5)
})
