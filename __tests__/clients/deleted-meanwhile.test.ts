import { expect, test } from '@jest/globals'
import { closeAll, site, startInstance } from '../revocation-log/instances.ts'
import { METADATA } from '../rfc7592/manage.ts'

test('an instance that looks a client up while another one deletes it does not go on remembering it', async () => {
  const place = site()
  const one = await startInstance(place)
  const two = await startInstance(place)
  try {
    const { client_id, client_secret } = (await one.register(METADATA)).body
    const errorAt = async (world: typeof one) =>
      (await world.token({ grant_type: 'refresh_token', refresh_token: 'x', client_id, client_secret })).body
        .error
    expect(await errorAt(two)).toBe('invalid_grant')
    const { clients } = place.stores
    const remove = clients.delete
    clients.delete = async (...parameters) => {
      // Told that its tokens are over, and then asked about it before it is gone.
      await two.tick()
      expect(await errorAt(two)).toBe('invalid_grant')
      return remove.apply(clients, parameters)
    }
    expect(await one.aat.clients.delete(client_id)).toBe('deleted')
    await two.tick()
    expect([await errorAt(one), await errorAt(two)]).toEqual(['invalid_client', 'invalid_client'])
  } finally {
    await closeAll(one, two)
  }
})
