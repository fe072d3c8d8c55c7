import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { claimsOf, startWorld, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('the whole way: sign in, consent, code, token, API, refresh', async () => {
  const { status, body } = await world.signInAndGetTokens({ scope: 'a b' })
  expect(status).toBe(200)
  expect(claimsOf(body.access_token)).toMatchObject({ sub: 'alice', scope: 'a b', aud: world.resource })
  expect((await world.call('/api/ab', body.access_token)).status).toBe(200)
  const refreshed = await world.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  expect(refreshed.body.refresh_token).not.toBe(body.refresh_token)
})
