import { afterAll, expect, test } from '@jest/globals'
import { startWorld } from '../support/world.ts'

const rejections: unknown[] = []
const onRejection = (error: unknown) => void rejections.push(error)
process.on('unhandledRejection', onRejection)
afterAll(() => process.off('unhandledRejection', onRejection))

test('an asynchronous event listener that rejects does not end the process', async () => {
  const world = await startWorld()
  world.aat.on('client.authentication_failed', async () => {
    throw new Error('the audit database is away')
  })
  await world.token({ grant_type: 'client_credentials', client_id: 'nobody' })
  await new Promise((resolve) => setTimeout(resolve, 50))
  await world.close()
  expect(rejections).toEqual([])
})

test('a client id from an unverified assertion brings no control characters into events', async () => {
  const world = await startWorld()
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  await world.token(
    {
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: `${part({ alg: 'ES256' })}.${part({ sub: 'x\n2027-01-01 token.issued subject=admin \u001b[2J' })}.AA`,
    },
    {},
  )
  await world.close()
  const [event] = world.eventsNamed('client.authentication_failed') as unknown as { clientId?: string }[]
  expect(event?.clientId ?? '').not.toMatch(/\p{Cc}/u)
})
