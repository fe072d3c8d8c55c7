import { afterAll, expect, test } from '@jest/globals'
import { startWorld } from '../support/world.ts'

const rejections: unknown[] = []
const onRejection = (error: unknown) => void rejections.push(error)
process.on('unhandledRejection', onRejection)
afterAll(() => {
  process.off('unhandledRejection', onRejection)
})

test('an asynchronous event listener that rejects does not end the process', async () => {
  const world = await startWorld()
  world.aat.on('client.authentication_failed', async () => {
    throw new Error('the audit database is away')
  })
  await world.token({ grant_type: 'client_credentials', client_id: 'nobody' })
  // Rejections are told at the end of the turn.
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  await world.close()
  expect(rejections).toEqual([])
})

test('what a listener promises in a library’s own way is waited for like any promise', async () => {
  const warnings: unknown[] = []
  const { emitWarning } = process
  process.emitWarning = (warning: unknown) => void warnings.push(warning)
  const world = await startWorld()
  world.aat.on('client.authentication_failed', () => ({
    // biome-ignore lint/suspicious/noThenProperty: it is what is tested
    then: (_: unknown, fail: (error: Error) => void) => fail(new RangeError('the audit database is away')),
  }))
  await world.token({ grant_type: 'client_credentials', client_id: 'nobody' })
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  await world.close()
  process.emitWarning = emitWarning
  expect(warnings).toEqual(['express-aat: a listener of client.authentication_failed threw RangeError'])
})

type Registered = Record<
  'client_id' | 'token_endpoint_auth_method' | 'registration_access_token' | 'registration_client_uri',
  string
> & { readonly redirect_uris: string[] }

test('what a listener changes in an event changes nothing but that', async () => {
  const world = await startWorld()
  world.aat.on(
    'client.registered',
    ({ redirectUris }) => void (redirectUris as string[]).push('https://evil.example'),
  )
  const response = await fetch(world.endpoint('register'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ redirect_uris: ['https://app.example/cb'], token_endpoint_auth_method: 'none' }),
  })
  const registered = (await response.json()) as Registered
  expect(registered.redirect_uris).toEqual(['https://app.example/cb'])
  world.aat.on(
    'client.updated',
    ({ redirectUris }) => void (redirectUris as string[]).push('https://evil.example'),
  )
  const { client_id, redirect_uris, token_endpoint_auth_method, registration_access_token } = registered
  const update = await fetch(registered.registration_client_uri, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${registration_access_token}` },
    body: JSON.stringify({ client_id, redirect_uris, token_endpoint_auth_method }),
  })
  const updated = (await update.json()) as Registered
  await world.close()
  expect([update.status, updated.redirect_uris]).toEqual([200, ['https://app.example/cb']])
})
